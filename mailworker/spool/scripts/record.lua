-- One mail is one string: its head in JSON, a line feed, and its payload as the codec wrote it.
--
-- The head (what is not set is left out; cjson keeps 14 digits, so times are text, seconds with 6 decimals):
--   v   version of this layout          l   lane               m   mailer
--   c   created_at                      d   due_at, if it is not c
--   e   expires_at                      q   1 = fails silently h   1 = on_in_doubt is "hold"
--   g   group                           o   the group's epoch when the mail came in
--   w   domain of all recipients        cd  the same, if that domain has limits (with encryption keys w only then, too; that of
--       a row is then "~" and an HMAC)
--   j   1 = its payload is a row of its group's letter
--   x   names of the contents that are kept apart
--   s   state, if it is not "due"       f   finished_at
--   t   token of the last lease         y   the word that ended it
--   k   1 = that lease has begun work   z   1 = that lease ran out, and nobody has taken the mail over
--   pb  1 = that lease is its mailer's probe
--   b   1 = an earlier lease had begun work and was never heard of again
-- and the ledger:
--   a   attempts        a1  first_attempt_at   n   snoozed    p   lapses
--   i   1 = in doubt    r   resends in doubt   u   reason     out recipient -> outcome, its class as the first letter

local VERSION = 1

local function row_of(head)
  return head.l .. '/' .. head.m
end

local function stream_of(head)
  return (head.cd or '') .. '/' .. (head.g or '')
end

local TYPES = {
  v = 'number', l = 'string', m = 'string', c = 'string', d = 'string', e = 'string', q = 'number', h = 'number',
  g = 'string', o = 'number', w = 'string', cd = 'string', x = 'table', s = 'string', f = 'string', t = 'string',
  y = 'string', k = 'number', z = 'number', pb = 'number', b = 'number', a = 'number', a1 = 'string', n = 'string',
  p = 'number', i = 'number', r = 'number', u = 'string', out = 'table', j = 'number',
}
-- Whether a state is final; without one it is due.
local STATES = { leased = false, held = false, dead = false, sent = true, cancelled = true, expired = true, dropped = true }

local function is_time(value)
  return value == nil or string.find(value, '^%-?%d+%.?%d*$') ~= nil
end

local function is_table_of(keys, value, pattern)
  if type(value) ~= 'table' then
    return false
  end
  for name, one in pairs(value) do
    if type(name) ~= keys or type(one) ~= 'string' or not string.find(one, pattern) then
      return false
    end
  end
  return true
end

-- What is wrong with a head, nil if nothing: whoever reads one further on need not ask what is in it.
local function fault_of(head)
  if type(head) ~= 'table' then
    return 'its record cannot be read'
  elseif head.v ~= VERSION then
    return 'its record is of version ' .. tostring(head.v) .. ', expected ' .. VERSION
  end
  for name, value in pairs(head) do
    local kind = type(value)
    if kind ~= TYPES[name] or (kind == 'number' and (value < 0 or value > 2147483647 or value % 1 ~= 0)) then
      return 'its record is malformed'
    end
  end
  if head.j and not (head.g and head.w) then
    return 'its record is a row of nothing'
  end
  local lane, state = head.l, head.s
  if not (head.c and head.m) or (lane ~= 'normal' and lane ~= 'high' and lane ~= 'bulk') then
    return 'its record does not say lane, mailer and time'
  elseif state and (STATES[state] == nil or STATES[state] ~= (head.f ~= nil)) then
    return 'its record is of no known state'
  elseif
    not (is_time(head.c) and is_time(head.d) and is_time(head.e) and is_time(head.f) and is_time(head.a1) and is_time(head.n))
    or (head.x and not is_table_of('number', head.x, ''))
    or (head.out and not is_table_of('string', head.out, '^[adri]'))
  then
    return 'its record is malformed'
  end
  return nil
end

-- The class of a row's last outcome, as long as that says what became of it. A row has one recipient.
local function class_of_row(head)
  if not head.j or head.s == 'cancelled' or head.s == 'expired' or head.s == 'dropped' then
    return nil
  end
  local _, outcome = next(head.out or {})
  return outcome and string.sub(outcome, 1, 1)
end

-- A mail as the scripts handle it; `broken` says why its head cannot be used, and then all of it is payload.
local function opened(id, raw)
  local cut = string.find(raw, '\n', 1, true)
  local fine, head = false, nil
  if cut then
    fine, head = pcall(cjson.decode, string.sub(raw, 1, cut - 1))
  end
  local fault = fault_of(fine and head or nil)
  if fault then
    local kept = fine and type(head) == 'table' and is_table_of('number', head.x, '') and head.x or nil
    return { id = id, payload = raw, broken = fault, contents = kept }
  end
  return {
    id = id, head = head, payload = string.sub(raw, cut + 1), row = row_of(head), stream = stream_of(head), was = class_of_row(head),
  }
end

-- Bytes of a record in which nearly every head ends.
local HEAD = 4096

-- The mail with its head alone, if that is whole and stands at the beginning of the record: however large its payload is, it
-- is not moved. Whoever packs it again gets the payload then.
local function peeked(id)
  local start = redis.pcall('GETRANGE', P .. 'm:' .. id, 0, HEAD - 1)
  if type(start) ~= 'string' or not string.find(start, '\n', 1, true) then
    return nil
  end
  local mail = opened(id, start)
  mail.payload = nil
  return not mail.broken and mail or nil
end

local function loaded(id)
  local raw = redis.pcall('GET', P .. 'm:' .. id)
  if type(raw) == 'table' then
    return { id = id, payload = '', broken = 'its record is no string' }
  end
  return raw and opened(id, raw) or nil
end

local function packed(mail)
  if not mail.payload then
    mail.payload = loaded(mail.id).payload
  end
  return cjson.encode(mail.head) .. '\n' .. mail.payload
end

local function save(mail)
  redis.call('SET', P .. 'm:' .. mail.id, packed(mail))
  local is = class_of_row(mail.head)
  if is ~= mail.was then
    if mail.was then
      count_outcome(mail.head.g, mail.head.w, mail.was, -1)
    end
    if is then
      count_outcome(mail.head.g, mail.head.w, is, 1)
    end
    mail.was = is
  end
end
