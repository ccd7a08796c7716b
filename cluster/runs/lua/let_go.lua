-- A start gives up claims without an attempt: those that are still its own.
-- KEYS: run:claims
-- ARGV: start, then chunks or "fold level:number"s
for i = 2, #ARGV do
  local claim = redis.call('HGET', KEYS[1], ARGV[i])
  if claim and string.match(claim, '^%d+ (%S+) ') == ARGV[1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
