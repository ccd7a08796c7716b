-- Take a replica's lease, or keep it, if its service is to have so many. Returns {state, Redis's clock in ms}.
-- state: "held"; "full" where no more are to be taken; "over" where this one is to end; "gone" where the service is.
-- Where there are too many, the newest are over: in the order of their ids the oldest is first.
-- KEYS: services leases replicas
-- ARGV: service replica row lease_ms keep_s anew
--   row: what the replica tells of itself
--   anew: 1 takes it, 0 keeps it
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local service = redis.call('HGET', K.services, A.service)
if not service then
  redis.call('DEL', K.leases, K.replicas)
  return {'gone', now}
end
local read, wanted = pcall(cjson.decode, service)
wanted = read and type(wanted) == 'table' and tonumber(wanted.replicas) or 0
local held, known = {}, false
for _, replica in ipairs(redis.call('ZRANGEBYSCORE', K.leases, '-inf', now)) do
  redis.call('ZREM', K.leases, replica)
  redis.call('HDEL', K.replicas, replica)
end
for _, replica in ipairs(redis.call('ZRANGE', K.leases, 0, -1)) do
  if replica == A.replica then known = true else held[#held + 1] = replica end
end
local older = #held
if A.anew ~= '1' then
  older = 0
  for _, replica in ipairs(held) do if replica < A.replica then older = older + 1 end end
end
if older >= wanted then
  redis.call('ZREM', K.leases, A.replica)
  redis.call('HDEL', K.replicas, A.replica)
  return {A.anew == '1' and 'full' or 'over', now}
end
redis.call('ZADD', K.leases, string.format('%.0f', now + A.lease_ms), A.replica)
redis.call('HSET', K.replicas, A.replica, A.row)
redis.call('EXPIRE', K.leases, A.keep_s)
redis.call('EXPIRE', K.replicas, A.keep_s)
return {'held', now}
