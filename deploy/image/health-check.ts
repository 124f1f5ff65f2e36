import { get } from 'node:http'

const DEADLINE_MS = 3000

/** Asks the service on this machine whether it lives. @returns the exit code: 0 yes, 1 no. */
export async function healthCheck (env: NodeJS.ProcessEnv, deadlineMs = DEADLINE_MS): Promise<number> {
  return await new Promise(resolve => {
    // Not `fetch`, which takes longer to load than this to run.
    const request = get({ host: '127.0.0.1', port: env.PORT?.trim() || 3000, path: '/health/live', agent: false, signal: AbortSignal.timeout(deadlineMs) })
      .on('response', response => {
        response.resume()
        resolve(response.statusCode === 200 ? 0 : 1)
        request.destroy()
      })
      .on('error', () => resolve(1))
  })
}

if (import.meta.main) process.exitCode = await healthCheck(process.env)
