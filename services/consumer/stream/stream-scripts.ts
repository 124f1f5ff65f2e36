import { RedisScript } from '../redis-script.ts'

/** Ours: pending for this consumer, and given to it as often as it was then. An entry that went away and came back is another delivery. */
const OURS = `
local function ours (id, count)
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  return row and row[2] == ARGV[2] and row[4] == tonumber(count)
end
`

/** Puts what is due at the end of the stream, for the group that asked for it. Answers how many, and in how many ms the next is due, or -1. */
const RELEASE_DUE = `
local function release (stream, delayed, limit)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    local afterGroup = string.find(member, ' ', 1, true)
    local afterId = string.find(member, ' ', afterGroup + 1, true)
    redis.call('XADD', stream, '*', 'body', string.sub(member, afterId + 1), 'group', string.sub(member, 1, afterGroup - 1))
    redis.call('ZREM', delayed, member)
  end
  local following = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  return #due, following and math.max(0, tonumber(following) - now) or -1
end
`

/**
 * Takes what was given back, oldest first, then what is new; before that it releases what is due, as far as the server has the memory.
 * KEYS 1 stream  2 delayed   ARGV 1 group  2 consumer  3 who holds what was given back  4 most entries  5 most that are released
 * Returns [[[id, deliveries, fields]…], entries that were deleted before anybody had done with them, ms until a retry is due or -1].
 */
export const TAKE = new RedisScript('take', `${RELEASE_DUE}
local taken, vanished = {}, 0
local released, _, dueInMs = pcall(release, KEYS[1], KEYS[2], ARGV[5])
for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])) do
  local entry = redis.call('XRANGE', KEYS[1], row[1], row[1])[1]
  if entry then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'RETRYCOUNT', row[4] + 1, 'JUSTID')
    taken[#taken + 1] = { row[1], row[4] + 1, entry[2] }
  else
    redis.call('XACK', KEYS[1], ARGV[1], row[1])
    vanished = vanished + 1
  end
end
local rest = tonumber(ARGV[4]) - #taken
if rest > 0 then
  local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', rest, 'STREAMS', KEYS[1], '>')
  for _, entry in ipairs(reply and reply[1][2] or {}) do taken[#taken + 1] = { entry[1], 1, entry[2] } end
end
return { taken, vanished, released and dueInMs or -1 }
`)

/** KEYS 1 stream   ARGV 1 group  2 consumer  3… id and deliveries of each. Returns 1 or 0 for each: still ours. */
export const RENEW = new RedisScript('renew', `${OURS}
local kept = {}
for i = 3, #ARGV, 2 do
  local held = ours(ARGV[i], ARGV[i + 1]) and #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID') == 1
  kept[#kept + 1] = held and 1 or 0
end
return kept
`)

/** KEYS 1 stream   ARGV 1 group  2 consumer  3 id  4 deliveries. Returns 1, or 0 when it is not ours any more. */
export const ACKNOWLEDGE = new RedisScript('acknowledge', `${OURS}
if not ours(ARGV[3], ARGV[4]) then return 0 end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
`)

/**
 * The id makes the member unique: a set would keep one of two equal bodies. The server's clock decides, for all consumers alike.
 * KEYS 1 stream  2 delayed (sorted set)   ARGV 1 group  2 consumer  3 id  4 deliveries  5 delay in ms  6 body
 */
export const RETRY = new RedisScript('retry', `${OURS}
if not ours(ARGV[3], ARGV[4]) then return 0 end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[5])
redis.call('ZADD', KEYS[2], due, ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. ARGV[6])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
`)

/** KEYS 1 stream  2 dead letters (list)   ARGV 1 group  2 consumer  3 id  4 deliveries  5 letter */
export const BURY = new RedisScript('bury', `${OURS}
if not ours(ARGV[3], ARGV[4]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[5])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
`)

/**
 * With a long idle time, so that consumers of other makes can claim it at once.
 * KEYS 1 stream   ARGV 1 group  2 consumer  3 who holds what was given back  4 idle in ms  5… id and deliveries of each. Returns how many.
 */
export const HAND_BACK = new RedisScript('hand back', `${OURS}
local count = 0
for i = 5, #ARGV, 2 do
  if ours(ARGV[i], ARGV[i + 1]) then
    count = count + #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'IDLE', ARGV[4], 'JUSTID')
  end
end
return count
`)

/**
 * Gives back what has been idle too long, and forgets our consumers that hold nothing and have not been heard of.
 * KEYS 1 stream   ARGV 1 group  2 who holds what was given back  3 visibility in ms  4 cursor  5 most entries  6 idle in ms
 *                      7 prefix of our consumers' names  8 idle ms after which one is forgotten
 * Returns [next cursor, how many changed hands, how many had been deleted from the stream].
 */
export const RECOVER = new RedisScript('recover', `
local function held ()
  for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1])[4] or {}) do
    if row[1] == ARGV[2] then return tonumber(row[2]) end
  end
  return 0
end
local before = held()
local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'JUSTID')
for _, id in ipairs(reply[2]) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[6], 'JUSTID')
end
local moved = math.max(0, held() - before)
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  local mine = string.sub(consumer['name'], 1, #ARGV[7]) == ARGV[7] and consumer['name'] ~= ARGV[2]
  if mine and consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[8]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
  end
end
return { reply[1], moved, #(reply[3] or {}) }
`)

/** KEYS 1 stream  2 delayed   ARGV 1 most entries. Returns how many. */
export const RELEASE = new RedisScript('release', `${RELEASE_DUE}
local count = release(KEYS[1], KEYS[2], ARGV[1])
return count
`)

/** KEYS 1 stream   ARGV 1 group  2 consumer. Only a consumer that holds nothing: what it holds would go with it. */
export const LEAVE = new RedisScript('leave', `
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
`)
