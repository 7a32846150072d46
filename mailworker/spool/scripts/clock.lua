-- The spool's one clock: Redis TIME, in seconds since the epoch, the same throughout a script (DESIGN §8).

local function server_time()
  local parts = redis.call('TIME')
  return tonumber(parts[1]) + tonumber(parts[2]) / 1000000
end

local now = server_time()
