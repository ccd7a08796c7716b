-- Pin a bundle to a version, or to none (0). Returns 1, or 0 if there is no such version.
-- KEYS: bundles bundle revision
-- ARGV: name version
local state = redis.call('HGET', K.bundles, A.name)
if not state or redis.call('EXISTS', K.bundle) == 0 then return 0 end
if A.version ~= '0' and redis.call('HEXISTS', K.bundle, A.version) == 0 then return 0 end
local last, latest, pinned = string.match(state, '^(%d+) (%d+) (%d+)$')
if pinned ~= A.version then
  redis.call('HSET', K.bundles, A.name, table.concat({last, latest, A.version}, ' '))
  redis.call('HINCRBY', K.bundles, '#revision', 1)
  redis.call('INCR', K.revision)
end
return 1
