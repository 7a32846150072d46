-- needs: clock stream window
-- ARGV: -, name. Returns now, when its window opens ("" = it is open, or it has none; "never"), and the fields of the bulk, of its
-- gate, its counts by domain and class, its last errors, and the sealed names of its domains; nothing if it is not known.

local name = ARGV[2]
local bulk = redis.call('HGETALL', P .. 'bulk:' .. name)
if #bulk == 0 then
  redis.call('ZREM', P .. 'bulks', name)
  return false
end
local opens_at = ''
local window = redis.call('HMGET', P .. 'group:' .. name, 'opens', 'closes')
if window[2] then
  local opens = window_of(name, tonumber(window[1]), tonumber(window[2]))
  opens_at = not opens and 'never' or opens > now and stamp(opens) or ''
end
return {
  stamp(now), opens_at, bulk, redis.call('HGETALL', P .. 'group:' .. name), redis.call('HGETALL', P .. 'outcomes:' .. name),
  redis.call('LRANGE', P .. 'errors:' .. name, 0, -1), redis.call('HGETALL', P .. 'domains-of:' .. name),
}
