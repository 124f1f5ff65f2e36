import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Teardown } from './redis-server.ts'
import { temporaryDirectory } from './temporary.ts'

const run = promisify(execFile)

export interface Certificates {
  caFile: string
  caKeyFile: string
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
  return { caFile: file('ca.crt'), caKeyFile: file('ca.key'), certFile: file('server.crt'), keyFile: file('server.key'), ca: await readFile(file('ca.crt')) }
}

/** A certificate like the server's, signed by the same authority, whose time is over. */
export async function expiredCertificate (t: Teardown, { caFile, caKeyFile, keyFile }: Certificates): Promise<{ certFile: string, keyFile: string }> {
  const directory = await temporaryDirectory(t)
  const file = (name: string) => join(directory, name)
  await mkdir(file('new'))
  await writeFile(file('index'), '')
  await writeFile(file('config'), [
    '[ca]', 'default_ca = authority', '[authority]', `database = ${file('index')}`, `new_certs_dir = ${file('new')}`, 'rand_serial = yes',
    'default_md = sha256', 'policy = any', 'x509_extensions = server', '[any]', 'commonName = supplied', '[server]', 'subjectAltName = IP:127.0.0.1'
  ].join('\n'))
  await run('openssl', ['req', '-new', '-key', keyFile, '-subj', '/CN=127.0.0.1', '-out', file('request')])
  await run('openssl', ['ca', '-batch', '-notext', '-config', file('config'), '-cert', caFile, '-keyfile', caKeyFile, '-in', file('request'),
    '-startdate', '20200101000000Z', '-enddate', '20200102000000Z', '-out', file('expired.crt')])
  return { certFile: file('expired.crt'), keyFile }
}
