import createError from '@fastify/error'

/** An option or a key breaks its rule: the programmer's mistake, never Redis'. */
export const CacheOptionInvalid = createError<[problem: string, remedy: string]>('FST_BRK_CACHE_OPTION', 'The cache cannot do that: %s. %s', 500)
