-- An incarnation of a node takes a name, unless another one has it. Returns "", or the incarnation that has it.
-- KEYS: names
-- ARGV: name incarnation gone retention_s
--   gone: an incarnation that has the name and is gone, "" for none
local holder = redis.call('HGET', K.names, A.name)
if holder and holder ~= A.incarnation and holder ~= A.gone then return holder end
redis.call('HDEL', K.names, A.name) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HSET', K.names, A.name, A.incarnation)
redis.call('EXPIRE', K.names, A.retention_s)
return ''
