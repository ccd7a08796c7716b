-- Enter a version of a bundle whose pieces are uploaded. If a version has the same content, make it the one pushed last.
-- Returns {version, 1 if it is new, current version}; {0, 0, 0} if there is none of that content and no row to enter;
-- {-1, 0, 0} if there are others and it was to be the first one.
-- KEYS: bundles bundle digests revision blobs
-- ARGV: name digest row again first
--   row: "" only looks
--   again: 1 makes a version that was there the one pushed last
--   first: 1 enters no version beside others
local state = redis.call('HGET', K.bundles, A.name) or '0 0 0'
local last, latest, pinned = string.match(state, '^(%d+) (%d+) (%d+)$')
local version = redis.call('HGET', K.digests, A.digest)
local new = 0
if not version then
  if A.first == '1' and redis.call('EXISTS', K.bundle) == 1 then return {-1, 0, 0} end
  if A.row == '' then return {0, 0, 0} end
  version, new = string.format('%d', last + 1), 1
  last = version
  redis.call('HSET', K.bundle, version, A.row)
  redis.call('HSET', K.digests, A.digest, version)
  -- Where the pieces lie in this Redis: they had an expiry until now. It goes in the same step, so that
  -- neither a version loses its pieces nor pieces stay that no version names.
  redis.call('PERSIST', K.blobs)
end
if new == 1 or (latest ~= version and A.again == '1') then
  redis.call('HSET', K.bundles, A.name, table.concat({last, version, pinned}, ' '))
  redis.call('HINCRBY', K.bundles, '#revision', 1)
  redis.call('INCR', K.revision)
end
latest = (new == 1 or A.again == '1') and version or latest
return {tonumber(version), new, tonumber(pinned) > 0 and tonumber(pinned) or tonumber(latest)}
