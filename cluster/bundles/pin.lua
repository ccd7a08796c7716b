-- Pin a bundle to a version, or to none (0). Returns 1, or 0 if there is no such version.
-- KEYS: cluster:bundles, cluster:bundle:NAME, cluster:revision
-- ARGV: name, version
local state = redis.call('HGET', KEYS[1], ARGV[1])
if not state or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if ARGV[2] ~= '0' and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 0 end
local last, latest, pinned = string.match(state, '^(%d+) (%d+) (%d+)$')
if pinned ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], table.concat({last, latest, ARGV[2]}, ' '))
  redis.call('HINCRBY', KEYS[1], '#revision', 1)
  redis.call('INCR', KEYS[3])
end
return 1
