-- needs: clock stream outcomes record shelf sweep
-- ARGV: retention, id, due, milliseconds of a wake-up's flag (0: wake nobody), head, payload, number of contents that came
-- along, then name and bytes of each.
-- Returns 1 if the mail is new, 0 if it is known, -1 if a content is needed that did not come along; 1 if a worker has to
-- be woken; and now.

local id, due, flag = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local head = cjson.decode(ARGV[5])
local mail = { id = id, head = head, payload = ARGV[6], row = row_of(head), stream = stream_of(head) }
local group = head.g

-- What is known stays as it is, whatever it is; unless it is past its retention.
local function is_known()
  local known = loaded(id)
  if not known then
    return false
  end
  local found, broken = find(id)
  if found or broken then
    return true
  end
  remove(known)
  return false
end

-- Counts the mail in with its contents, all or none: their bytes are here, or have come along.
local function has_contents()
  local came = {}
  for i = 8, 7 + 2 * tonumber(ARGV[7]), 2 do
    came[ARGV[i]] = ARGV[i + 1]
  end
  for _, name in ipairs(head.x) do
    if not came[name] and redis.pcall('HEXISTS', P .. 'content:' .. name, 'bytes') ~= 1 then
      return false
    end
  end
  for _, name in ipairs(head.x) do
    local key = P .. 'content:' .. name
    local number = redis.pcall('HINCRBY', key, 'mails', 1)
    if type(number) ~= 'number' or number < 1 then
      -- Somebody has written over it. What came along makes it good again.
      local bytes = came[name] or redis.pcall('HGET', key, 'bytes')
      redis.call('DEL', key)
      redis.call('HSET', key, 'mails', 1, 'bytes', bytes)
    elseif came[name] and redis.call('HEXISTS', key, 'bytes') == 0 then
      redis.call('HSET', key, 'bytes', came[name])
    end
  end
  return true
end

local fine
if head.x or group then
  fine = not is_known()
  if fine and head.x and not has_contents() then
    write_counts()
    return { -1, 0, stamp(now) }
  end
else
  local record = ARGV[5] .. '\n' .. ARGV[6]
  fine = redis.call('SET', P .. 'm:' .. id, record, 'NX')
  if not fine and not is_known() then
    fine = redis.call('SET', P .. 'm:' .. id, record)
  end
end
if not fine then
  write_counts()
  return { 0, 0, stamp(now) }
end

local woken, is_cancelled = 0, false
counted(mail, DUE, 1)
if group then
  local of_group = redis.call('HMGET', P .. 'group:' .. group, 'epoch', 'cancelled')
  head.o = of_group[1] and tonumber(of_group[1]) or nil
  is_cancelled = of_group[2]
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
  if head.o then
    save(mail)
  elseif head.x or group then
    redis.call('SET', P .. 'm:' .. id, ARGV[5] .. '\n' .. ARGV[6])
  end
  if flag > 0 and due <= now and redis.call('SET', P .. 'wake:' .. head.l, 1, 'NX', 'PX', flag) then
    woken = 1
  end
end
tidy(4)
write_counts()
return { 1, woken, stamp(now) }
