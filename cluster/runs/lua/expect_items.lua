-- How many items the run will have, counted ahead; the true number of end_split wins.
-- KEYS: run
-- ARGV: items
if redis.call('HGET', KEYS[1], 'state') then redis.call('HSETNX', KEYS[1], 'items_total', ARGV[1]) end
