-- Allow one speculative copy of a chunk whose node is slow. Returns 1 if it is allowed now.
-- KEYS: run chunks speculative events
-- ARGV: fence chunk slow_node why
local run = redis.call('HMGET', K.run, 'state', 'fence')
if run[1] ~= 'running' or run[2] ~= A.fence then return 0 end
if redis.call('HEXISTS', K.chunks, A.chunk) == 0 then return 0 end
if redis.call('HSETNX', K.speculative, A.chunk, A.slow_node) == 0 then return 0 end
local retention_s = retention_of(K.run)
redis.call('EXPIRE', K.speculative, retention_s)
note(K.events, retention_s, 'speculative-copy', 'chunk', A.chunk, 'node', A.slow_node, 'why', A.why)
return 1
