-- Enter a version of a bundle whose pieces are uploaded. If a version has the same content, make it the one pushed last.
-- Returns {version, 1 if it is new, current version}; {0, 0, 0} if there is none of that content and no row to enter.
-- KEYS: cluster:bundles, cluster:bundle:NAME, cluster:bundle:NAME:digests, cluster:revision, cluster:blobs:SCOPE
-- ARGV: name, digest, row ("": only look), 1 to make a version that was there the one pushed last
local state = redis.call('HGET', KEYS[1], ARGV[1]) or '0 0 0'
local last, latest, pinned = string.match(state, '^(%d+) (%d+) (%d+)$')
local version = redis.call('HGET', KEYS[3], ARGV[2])
local new = 0
if not version then
  if ARGV[3] == '' then return {0, 0, 0} end
  version, new = string.format('%d', last + 1), 1
  last = version
  redis.call('HSET', KEYS[2], version, ARGV[3])
  redis.call('HSET', KEYS[3], ARGV[2], version)
  -- Where the pieces lie in this Redis: they had an expiry until now. It goes in the same step, so that
  -- neither a version loses its pieces nor pieces stay that no version names.
  redis.call('PERSIST', KEYS[5])
end
if new == 1 or (latest ~= version and ARGV[4] == '1') then
  redis.call('HSET', KEYS[1], ARGV[1], table.concat({last, version, pinned}, ' '))
  redis.call('HINCRBY', KEYS[1], '#revision', 1)
  redis.call('INCR', KEYS[4])
end
latest = (new == 1 or ARGV[4] == '1') and version or latest
return {tonumber(version), new, tonumber(pinned) > 0 and tonumber(pinned) or tonumber(latest)}
