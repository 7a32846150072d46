-- needs: clock record shelf
-- ARGV: retention, id, due, milliseconds of a wake-up's flag (0: wake nobody), head, payload, contents that came along, then name and bytes of each.
-- Returns 1 if the mail is new, 0 if it is known, -1 if a content is needed that did not come along; 1 if a worker has to
-- be woken; and now.

local id, due, flag = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

if redis.call('EXISTS', P .. 'm:' .. id) == 1 then
  -- Unless it is past its retention.
  local mail = loaded(id)
  if mail.broken or find(id) then
    write_counts()
    return { 0, 0, stamp(now) }
  end
end

local head = cjson.decode(ARGV[5])
local mail = { id = id, head = head, payload = ARGV[6], row = row_of(head), stream = stream_of(head) }
local came = {}
for i = 8, 7 + 2 * tonumber(ARGV[7]), 2 do
  came[ARGV[i]] = ARGV[i + 1]
end
for _, name in ipairs(head.x or {}) do
  if not came[name] and redis.call('EXISTS', P .. 'content:' .. name) == 0 then
    return { -1, 0, stamp(now) }
  end
end
for _, name in ipairs(head.x or {}) do
  if redis.call('HINCRBY', P .. 'content:' .. name, 'mails', 1) == 1 then
    redis.call('HSET', P .. 'content:' .. name, 'bytes', came[name])
  end
end

local woken = 0
counted(mail, DUE, 1)
local group = head.g
local is_cancelled = false
if group then
  local epoch = epoch_of(group)
  head.o = epoch > 0 and epoch or nil
  is_cancelled = redis.call('HEXISTS', P .. 'group:' .. group, 'cancelled') == 1
end
if is_cancelled then
  moved(mail, 'cancelled')
  put_to_rest(mail)
  save(mail)
else
  if due <= tonumber(head.c) then
    -- By the clock of whoever composed it, it is due now; then it is by ours.
    due = math.min(due, now)
  end
  place_due(mail, due)
  if group then
    save(mail)
  else
    redis.call('SET', P .. 'm:' .. id, ARGV[5] .. '\n' .. ARGV[6])
  end
  if flag > 0 and due <= now and redis.call('SET', P .. 'wake:' .. head.l, 1, 'NX', 'PX', flag) then
    woken = 1
  end
end
tidy(4)
write_counts()
return { 1, woken, stamp(now) }
