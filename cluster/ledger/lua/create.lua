-- Open a run. Returns 1, or 0 if it is open already.
-- KEYS: run events runs
-- ARGV: job submitter owner retention_s follows fields...
--   follows: the run whose missing items it does again, which notes that; "" for none
--   fields: field, value, ...
if redis.call('HGET', K.run, 'state') then return 0 end
local now = redis.call('TIME')
redis.call('HSET', K.run, 'job', A.job, 'submitter', A.submitter, 'retention_s', A.retention_s, 'state', 'running',
  'started_at', now[1] .. '.' .. string.format('%06d', now[2]), 'chunks_published', 0, 'batches_published', 0)
for i = FIRST, #ARGV, 2 do redis.call('HSET', K.run, ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', K.run, A.retention_s)
local run = RUN .. A.follows
if A.follows ~= '' and redis.call('HGET', run, 'state') then
  local before = redis.call('HGET', run, 'followers')
  redis.call('HSET', run, 'followers', (before and before .. ' ' or '') .. id_of(K.run))
end
note(K.events, A.retention_s, 'begun', 'node', A.submitter, 'why', A.owner == '' and A.job or A.job .. ', by ' .. A.owner)
-- The list of runs stays as long as the run that is kept longest. Names of runs that have expired stay for a while, as
-- they may have left blobs elsewhere.
redis.call('ZADD', K.runs, now[1] .. '.' .. string.format('%06d', now[2]), id_of(K.run))
for _, old in ipairs(redis.call('ZRANGEBYSCORE', K.runs, '-inf', now[1] - 2 * A.retention_s, 'LIMIT', 0, MOST_FORGOTTEN)) do
  if redis.call('EXISTS', RUN .. old) == 0 then redis.call('ZREM', K.runs, old) end
end
redis.call('PEXPIRE', K.runs, string.format('%.0f', math.max(redis.call('PTTL', K.runs), 2000 * A.retention_s)))
return 1
