import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Teardown } from './redis-server.ts'
import { temporaryDirectory } from './temporary.ts'

const run = promisify(execFile)

export interface Certificates {
  caFile: string
  certFile: string
  keyFile: string
  ca: Buffer
}

/** A certificate authority of the test's own, and a server certificate for 127.0.0.1 signed by it. Needs `openssl`. */
export async function makeCertificates (t: Teardown): Promise<Certificates> {
  const directory = await temporaryDirectory(t)
  const file = (name: string) => join(directory, name)
  const newKey = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await run('openssl', [...newKey, '-x509', '-days', '2', '-subj', '/CN=test authority', '-keyout', file('ca.key'), '-out', file('ca.crt')])
  await run('openssl', [...newKey, '-x509', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-addext', 'basicConstraints=critical,CA:FALSE', '-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-keyout', file('server.key'), '-out', file('server.crt')])
  return { caFile: file('ca.crt'), certFile: file('server.crt'), keyFile: file('server.key'), ca: await readFile(file('ca.crt')) }
}
