-- Forget one version of a bundle. Returns 1, or 0 if it is not there (any more).
-- KEYS: cluster:bundles, cluster:bundle:NAME, cluster:bundle:NAME:digests, cluster:revision, cluster:blobs:SCOPE
-- ARGV: name, version, seconds that its pieces have left if whoever removes them dies meanwhile
if redis.call('HDEL', KEYS[2], ARGV[2]) == 0 then return 0 end
local found = redis.call('HGETALL', KEYS[3])
for at = 1, #found, 2 do
  if found[at + 1] == ARGV[2] then redis.call('HDEL', KEYS[3], found[at]) end
end
local last, latest, pinned = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '0 0 0', '^(%d+) (%d+) (%d+)$')
if latest == ARGV[2] then
  latest = 0
  for _, version in ipairs(redis.call('HKEYS', KEYS[2])) do latest = math.max(latest, tonumber(version) or 0) end
end
if pinned == ARGV[2] then pinned = 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d %d', last, latest, pinned))
redis.call('HINCRBY', KEYS[1], '#revision', 1)
redis.call('INCR', KEYS[4])
redis.call('EXPIRE', KEYS[5], ARGV[3])
return 1
