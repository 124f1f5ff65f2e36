/** How a message gets into the queue, by its transport; the stream's entry is that of docs/streams.md. */
const ENQUEUE = `
local function enqueue (key, transport, body)
  if transport == 'stream' then return redis.call('XADD', key, '*', 'body', body) end
  return redis.call('LPUSH', key, body)
end`

/**
 * Replays or purges letters of one list; each of them moves in this one step, so it is in exactly one place whatever happens. The request is
 * recorded with its results: sent again, it changes nothing and answers the same, even if further copies of the same bytes exist.
 *
 * KEYS  1 the dead letters (list)   2 the record of this request   3 the queue, in the same slot; absent to purge
 * ARGV  1 how long the record stays, ms   2 `list` or `stream`   then for each letter:
 *       its element, how many copies must exist, 1 (near the newest) or -1, the bytes to queue
 * Returns a digit for each letter: 1 done, 0 no longer there. An error changes nothing.
 *
 * It queues before it removes: a queue that refuses (out of memory, wrong type) must leave the letter where it is.
 */
export const SETTLE_SCRIPT = `${ENQUEUE}
local record = redis.call('GET', KEYS[2])
if record then return record end
local results = {}
for i = 3, #ARGV, 4 do
  local copies = tonumber(ARGV[i + 1])
  local found = redis.call('LPOS', KEYS[1], ARGV[i], 'RANK', ARGV[i + 2], 'COUNT', copies)
  local done = #found >= copies and 1 or 0
  if done == 1 then
    if KEYS[3] then enqueue(KEYS[3], ARGV[2], ARGV[i + 3]) end
    redis.call('LREM', KEYS[1], ARGV[i + 2], ARGV[i])
  end
  results[#results + 1] = done
end
record = table.concat(results)
redis.call('SET', KEYS[2], record, 'PX', ARGV[1])
return record`

/**
 * First step of a replay across slots: takes a letter out of its list and notes it as on its way, under a token.
 *
 * KEYS  1 the dead letters   2 on their way (hash: token → element)   3 moves that are over (sorted set)
 * ARGV  1 token   2 element   3 how many copies must exist   4 1 (near the newest) or -1
 * Returns 1 when it is on its way, or has been delivered already; 0 when it is no longer there.
 */
export const CLAIM_SCRIPT = `
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 or redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 1 end
local copies = tonumber(ARGV[3])
if copies > 1 and #redis.call('LPOS', KEYS[1], ARGV[2], 'COUNT', copies) < copies then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local removed = redis.pcall('LREM', KEYS[1], ARGV[4], ARGV[2])
if removed == 1 then return 1 end
redis.call('HDEL', KEYS[2], ARGV[1])
return removed`

/**
 * Second step: queues what is on its way, unless the queue has had it under this token.
 *
 * KEYS  1 the queue   2 tokens that arrived (sorted set)   ARGV  1 token   2 the bytes to queue   3 `list` or `stream`
 */
export const DELIVER_SCRIPT = `${ENQUEUE}
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
enqueue(KEYS[1], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
return 1`

/**
 * Third step: the letter is no longer on its way. The token stays for a while: a first step that arrives late must find it.
 *
 * KEYS  1 on their way (hash)   2 moves that are over (sorted set)   ARGV  1 token   2 how long tokens stay, s
 */
export const FINISH_SCRIPT = `
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]))
return 1`

/**
 * Forgets old tokens that arrived, except those still on their way: without its token, such a letter would be queued twice.
 *
 * KEYS  1 tokens that arrived (sorted set)   ARGV  1 how long tokens stay, s   2… tokens to keep
 */
export const FORGET_SCRIPT = `
local keep = {}
for i = 2, #ARGV do keep[ARGV[i]] = true end
local before = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
local forgotten = 0
for _, token in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before, 'LIMIT', 0, 1000)) do
  if not keep[token] then forgotten = forgotten + redis.call('ZREM', KEYS[1], token) end
end
return forgotten`

/** KEYS 1 the list   ARGV from the newest: element, its position from the oldest … Returns how many copies of each are not newer than it. */
export const COPIES_SCRIPT = `
local copies = {}
for i = 1, #ARGV, 2 do
  copies[#copies + 1] = #redis.call('LPOS', KEYS[1], ARGV[i], 'RANK', -1, 'COUNT', 0, 'MAXLEN', ARGV[i + 1])
end
return copies`
