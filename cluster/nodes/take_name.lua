-- A start of a node takes a name, unless another one has it. Returns "", or who has it.
-- KEYS: cluster:nodes:names
-- ARGV: name, start, a start that has it and is gone ("" for none), retention_s
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder and holder ~= ARGV[2] and holder ~= ARGV[3] then return holder end
redis.call('HDEL', KEYS[1], ARGV[1]) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return ''
