-- Enter where the cluster keeps bytes and models, unless that is entered. Returns {blob_url, bundle_dir} as they stand now.
-- KEYS: places
-- ARGV: blob_url bundle_dir anew retention_s
--   anew: 1 enters them whatever stands there
for name, value in pairs({blob_url = A.blob_url, bundle_dir = A.bundle_dir}) do
  local known = redis.call('HGET', K.places, name)
  if not known or (A.anew == '1' and known ~= value) then redis.call('HSET', K.places, name, value) end
end
redis.call('EXPIRE', K.places, A.retention_s)
return redis.call('HMGET', K.places, 'blob_url', 'bundle_dir')
