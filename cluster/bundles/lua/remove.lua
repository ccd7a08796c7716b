-- Forget one version of a bundle. Returns 1, or 0 if it is not there (any more).
-- KEYS: bundles bundle digests revision blobs
-- ARGV: name version left_s
--   left_s: what its pieces have left if this caller dies meanwhile
if redis.call('HDEL', K.bundle, A.version) == 0 then return 0 end
local found = redis.call('HGETALL', K.digests)
for at = 1, #found, 2 do
  if found[at + 1] == A.version then redis.call('HDEL', K.digests, found[at]) end
end
local last, latest, pinned = string.match(redis.call('HGET', K.bundles, A.name) or '0 0 0', '^(%d+) (%d+) (%d+)$')
if latest == A.version then
  latest = 0
  for _, version in ipairs(redis.call('HKEYS', K.bundle)) do latest = math.max(latest, tonumber(version) or 0) end
end
if pinned == A.version then pinned = 0 end
redis.call('HSET', K.bundles, A.name, string.format('%d %d %d', last, latest, pinned))
redis.call('HINCRBY', K.bundles, '#revision', 1)
redis.call('INCR', K.revision)
redis.call('EXPIRE', K.blobs, A.left_s)
return 1
