-- needs: clock stream outcomes timetable
-- ARGV: -, name, digest of the letter, 1 = mails go while rows still come in, plan (JSON), letter, bounces allowed or "", bounce
-- window, rate or "", burst, "opens closes"...
-- Begins a bulk, or a further fill of one that is known and has this letter; of any other nothing changes. Returns now, and 1 if it
-- may be filled.

local name = ARGV[2]
local bulk, gate = P .. 'bulk:' .. name, P .. 'group:' .. name
local digest = redis.call('HGET', bulk, 'digest')
local of_gate = redis.call('HMGET', gate, 'cancelled', 'filling')
-- One without rows that nobody fills is as good as none.
local is_new = not digest or (not of_gate[2] and tonumber(redis.call('HGET', bulk, 'rows') or 0) == 0)
if of_gate[1] or (not is_new and (digest ~= ARGV[3] or tonumber(redis.call('HGET', bulk, 'forgotten') or 0) > 0)) then
  return { stamp(now), 0 }
end
if is_new then
  redis.call('DEL', bulk)
  redis.call('HSET', bulk, 'plan', ARGV[5], 'digest', ARGV[3], 'created', stamp(now))
  if ARGV[7] ~= '' then
    redis.call('HSET', bulk, 'max_bounces', ARGV[7], 'bounce_window', ARGV[8])
  end
  redis.call('ZADD', P .. 'bulks', stamp(now), name)
  set_timetable(name, ARGV[9], ARGV[10], { unpack(ARGV, 11) })
end
redis.call('HDEL', bulk, 'filled')
redis.call('SET', P .. 'letter:' .. name, ARGV[6])
if ARGV[4] ~= '1' then
  redis.call('HSET', gate, 'filling', 1)
  redis.call('SADD', P .. 'shut', name)
end
return { stamp(now), 1 }
