-- How many items the run will have, counted ahead; the true number of end_split wins.
-- KEYS: run
-- ARGV: items
if redis.call('HGET', K.run, 'state') then redis.call('HSETNX', K.run, 'items_total', A.items) end
