-- A node says that it is here. Returns {the state that people want of it, "" for none; the revision; who has paused it}.
-- A desired state is for one incarnation of a node: a later one does not hear it. A pause is for all that come later.
-- KEYS: nodes desired paused incarnations revision names
-- ARGV: node incarnation phase report retention_s paused_s
local now = redis.call('TIME')
local moment = now[1] .. '.' .. string.format('%06d', now[2])
local joined = moment
local before = redis.call('HGET', K.nodes, A.node)
if before then
  local incarnation, since = string.match(before, '^(%S+) (%S+) ')
  if incarnation == A.incarnation then joined = since end
end
-- A full Redis refuses the first write of a script only if it needs memory: so a node is seen there, too.
redis.call('HDEL', K.nodes, A.node)
redis.call('HSET', K.nodes, A.node, table.concat({A.incarnation, joined, moment, A.phase, A.report}, ' '))
redis.call('HSETNX', K.names, A.node, A.incarnation) -- where Redis has lost what it had
redis.call('HSET', K.incarnations, A.incarnation, table.concat({moment, A.phase, A.node}, ' '))
for _, key in ipairs({K.nodes, K.incarnations, K.names}) do redis.call('EXPIRE', key, A.retention_s) end
local revision = redis.call('GET', K.revision) or '0'
local paused = redis.call('HGET', K.paused, A.node) or ''
if paused ~= '' then redis.call('EXPIRE', K.paused, A.paused_s) end
local desired = redis.call('HGET', K.desired, A.node)
if not desired then return {'', revision, paused} end
local incarnation, state = string.match(desired, '^(%S+) (%S+)$')
if incarnation ~= A.incarnation then
  redis.call('HDEL', K.desired, A.node)
  return {'', revision, paused}
end
return {state, revision, paused}
