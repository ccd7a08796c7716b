-- A start gives up claims without an attempt: those that are still its own. Chunks whose messages are to come again count
-- as on their way, so that no others are published in their place.
-- KEYS: run:claims, run:queued
-- ARGV: start, retention_s ("": they do not come again), then chunks or "fold level:number"s
for i = 3, #ARGV do
  local claim = redis.call('HGET', KEYS[1], ARGV[i])
  if claim and string.match(claim, '^%d+ (%S+) ') == ARGV[1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    if ARGV[2] ~= '' then
      redis.call('SADD', KEYS[2], ARGV[i])
      redis.call('EXPIRE', KEYS[2], ARGV[2])
    end
  end
end
