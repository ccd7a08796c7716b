-- Say who sees a run besides its owner. Returns 1; 0 where there is no such run, or it has no owner.
-- KEYS: run
-- ARGV: shown_to
local run = redis.call('HMGET', K.run, 'state', 'owner')
if not run[1] or not run[2] then return 0 end
redis.call('HSET', K.run, 'shown_to', A.shown_to)
return 1
