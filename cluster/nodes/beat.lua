-- A node says that it is here. Returns {what is wished of it, "" for nothing; the revision of demand and bundles}.
-- A wish is for one start of a node: one that was started again since does not hear it.
-- KEYS: cluster:nodes, cluster:nodes:wishes, cluster:nodes:starts, cluster:revision, cluster:nodes:names
-- ARGV: node, start, state, facts, retention_s
local now = redis.call('TIME')
local moment = now[1] .. '.' .. string.format('%06d', now[2])
local joined = moment
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  local start, since = string.match(before, '^(%S+) (%S+) ')
  if start == ARGV[2] then joined = since end
end
-- A full Redis refuses the first write of a script only if it needs memory: so a node is seen there, too.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], joined, moment, ARGV[3], ARGV[4]}, ' '))
redis.call('HSETNX', KEYS[5], ARGV[1], ARGV[2]) -- where Redis has lost what it had
redis.call('HSET', KEYS[3], ARGV[2], table.concat({moment, ARGV[3], ARGV[1]}, ' '))
for _, key in ipairs({KEYS[1], KEYS[3], KEYS[5]}) do redis.call('EXPIRE', key, ARGV[5]) end
local revision = redis.call('GET', KEYS[4]) or '0'
local wish = redis.call('HGET', KEYS[2], ARGV[1])
if not wish then return {'', revision} end
local start, what = string.match(wish, '^(%S+) (%S+)$')
if start ~= ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
  return {'', revision}
end
return {what, revision}
