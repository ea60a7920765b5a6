import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { program } from './program.ts'

/** A certificate authority that lives as long as a test: `openssl` in a folder of its own. */
export interface ThrowawayCa {
  /** The CA's certificate, for programs that want a file. */
  readonly file: string
  readonly certificate: string
  /** A certificate for these names and addresses, as PEM, ready for `https.createServer`. */
  issue(...names: string[]): { readonly key: string; readonly cert: string }
  remove(): void
}

const DAYS = '2'

export function createThrowawayCa(): ThrowawayCa {
  const openssl = program('openssl')
  if (openssl === undefined) throw new Error('openssl is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-ca-'))
  const run = (...args: string[]) => execFileSync(openssl, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  run('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', DAYS, '-subj', '/CN=throwaway CA')
  const file = join(folder, 'ca.pem')
  let issued = 0
  return {
    file,
    certificate: readFileSync(file, 'utf8'),
    issue: (...names) => {
      const name = `leaf-${++issued}`
      const alternatives = names.map((text) => `${isIP(text) === 0 ? 'DNS' : 'IP'}:${text}`).join(',')
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${alternatives}\nextendedKeyUsage=serverAuth\n`)
      run('req', '-new', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=throwaway leaf ${issued}`)
      const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`, '-days', DAYS]
      run('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signed)
      return { key: readFileSync(join(folder, `${name}.key`), 'utf8'), cert: readFileSync(join(folder, `${name}.pem`), 'utf8') }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
