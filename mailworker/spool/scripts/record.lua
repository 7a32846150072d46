-- One mail is one string: its head in JSON, a line feed, and its payload as the codec wrote it.
--
-- The head (what is not set is left out; cjson keeps 14 digits, so times are text, seconds with 6 decimals):
--   v   version of this layout          l   lane               m   mailer
--   c   created_at                      d   due_at, if it is not c
--   e   expires_at                      q   1 = fails silently h   1 = on_in_doubt is "hold"
--   g   group                           o   the group's epoch when the mail came in
--   w   domain of all recipients        cd  the same, if that domain has limits
--   x   names of the contents that are kept apart
--   s   state, if it is not "due"       f   finished_at
--   t   token of the last lease         y   the word that ended it
--   k   1 = that lease has begun work   z   1 = that lease ran out, and nobody has taken the mail over
--   pb  1 = that lease is its mailer's probe
--   b   1 = an earlier lease had begun work and was never heard of again
-- and the ledger:
--   a   attempts        a1  first_attempt_at   n   snoozed    p   lapses
--   i   1 = in doubt    r   resends in doubt   u   reason     out recipient -> outcome, its class as the first letter

local P = KEYS[1]
local VERSION = 1

local function stamp(seconds)
  return string.format('%.6f', seconds)
end

local function row_of(head)
  return head.l .. '/' .. head.m
end

local function stream_of(head)
  return (head.cd or '') .. '/' .. (head.g or '')
end

-- What each field of a head has to be: n a count, t a time or a span, s a text.
local KINDS = {
  v = 'n', l = 's', m = 's', c = 't', d = 't', e = 't', q = 'n', h = 'n', g = 's', o = 'n', w = 's', cd = 's', x = 'list',
  s = 's', f = 't', t = 's', y = 's', k = 'n', z = 'n', pb = 'n', b = 'n',
  a = 'n', a1 = 't', n = 't', p = 'n', i = 'n', r = 'n', u = 's', out = 'outcomes',
}
local LANES = { high = true, normal = true, bulk = true }
local STATES = { leased = true, held = true, sent = true, cancelled = true, expired = true, dropped = true, dead = true }

local function is_of(kind, value)
  if kind == 's' then
    return type(value) == 'string'
  elseif kind == 't' then
    return type(value) == 'string' and string.find(value, '^%-?%d+%.?%d*$') ~= nil
  elseif kind == 'n' then
    return type(value) == 'number' and value >= 0 and value < 2147483648 and value % 1 == 0
  elseif type(value) ~= 'table' then
    return false
  end
  for name, one in pairs(value) do
    if type(one) ~= 'string' then
      return false
    elseif kind == 'list' and type(name) ~= 'number' then
      return false
    elseif kind == 'outcomes' and not (type(name) == 'string' and string.find(one, '^[adri]')) then
      return false
    end
  end
  return kind ~= nil
end

-- What is wrong with a head, nil if nothing.
local function fault_of(head)
  if type(head) ~= 'table' then
    return 'its record cannot be read'
  end
  if head.v ~= VERSION then
    return 'its record is of version ' .. tostring(head.v) .. ', expected ' .. VERSION
  end
  if not (head.c and LANES[head.l] and head.m) then
    return 'its record does not say lane, mailer and time'
  end
  for name, value in pairs(head) do
    if not is_of(KINDS[name], value) then
      return 'its record is malformed'
    end
  end
  if head.s and not STATES[head.s] then
    return 'its record is of no known state'
  end
  return nil
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
    local kept = fine and type(head) == 'table' and is_of('list', head.x) and head.x or nil
    return { id = id, payload = raw, broken = fault, contents = kept }
  end
  return { id = id, head = head, payload = string.sub(raw, cut + 1), row = row_of(head), stream = stream_of(head) }
end

local function loaded(id)
  local raw = redis.pcall('GET', P .. 'm:' .. id)
  if type(raw) == 'table' then
    return { id = id, payload = '', broken = 'its record is no string' }
  end
  return raw and opened(id, raw) or nil
end

local function packed(mail)
  return cjson.encode(mail.head) .. '\n' .. mail.payload
end

local function save(mail)
  redis.call('SET', P .. 'm:' .. mail.id, packed(mail))
end
