-- A node says that it is here. Returns {what is wished of it, "" for nothing; the revision of demand and bundles}.
-- A wish is for one start of a node: one that was started again since does not hear it.
-- KEYS: nodes wishes starts revision names
-- ARGV: node start state facts retention_s
local now = redis.call('TIME')
local moment = now[1] .. '.' .. string.format('%06d', now[2])
local joined = moment
local before = redis.call('HGET', K.nodes, A.node)
if before then
  local start, since = string.match(before, '^(%S+) (%S+) ')
  if start == A.start then joined = since end
end
-- A full Redis refuses the first write of a script only if it needs memory: so a node is seen there, too.
redis.call('HDEL', K.nodes, A.node)
redis.call('HSET', K.nodes, A.node, table.concat({A.start, joined, moment, A.state, A.facts}, ' '))
redis.call('HSETNX', K.names, A.node, A.start) -- where Redis has lost what it had
redis.call('HSET', K.starts, A.start, table.concat({moment, A.state, A.node}, ' '))
for _, key in ipairs({K.nodes, K.starts, K.names}) do redis.call('EXPIRE', key, A.retention_s) end
local revision = redis.call('GET', K.revision) or '0'
local wish = redis.call('HGET', K.wishes, A.node)
if not wish then return {'', revision} end
local start, what = string.match(wish, '^(%S+) (%S+)$')
if start ~= A.start then
  redis.call('HDEL', K.wishes, A.node)
  return {'', revision}
end
return {what, revision}
