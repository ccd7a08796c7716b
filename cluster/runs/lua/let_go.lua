-- A start gives up claims without an attempt: those that are still its own. Chunks whose messages are to come again count
-- as on their way, so that no others are published in their place.
-- KEYS: claims queued
-- ARGV: start retention_s units...
--   retention_s: "" where their messages do not come again
--   units: chunks, or "fold level:number"
for i = FIRST, #ARGV do
  local claim = redis.call('HGET', K.claims, ARGV[i])
  if claim and string.match(claim, '^%d+ (%S+) ') == A.start then
    redis.call('HDEL', K.claims, ARGV[i])
    if A.retention_s ~= '' then
      redis.call('SADD', K.queued, ARGV[i])
      redis.call('EXPIRE', K.queued, A.retention_s)
    end
  end
end
