-- Become, or stay, the failure detector that acts. Returns 1 if it is, else 0.
-- KEYS: detector
-- ARGV: detector lead_ms
local leader = redis.call('GET', K.detector)
if leader and leader ~= A.detector then return 0 end
redis.call('SET', K.detector, A.detector, 'PX', A.lead_ms)
return 1
