import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { CertificateAuthority } from '../../../src/io/tls/certificate-authority.ts'
import { constraintsFor } from '../../../src/io/tls/certificate-constraints.ts'
import { ContextCache } from '../../../src/io/tls/context-cache.ts'
import { itWith } from '../../support/program.ts'
import { serveTls } from './handshake.ts'
import { host, load, opensslIntermediate, opensslRoot, ownCa, patterns, testFolder } from './test-ca.ts'

/** Other people's TLS, end to end on loopback: each trusts our CA alone and is shown a minted certificate. */

const folder = testFolder()
const NAME = 'files.example.com'
const DEADLINE_MS = 10_000

let close: (() => void) | undefined
afterEach(() => close?.())

interface Scene {
  readonly port: number
  readonly anchors: string
}

let scenes = 0
async function stage(authority: CertificateAuthority, name = NAME): Promise<Scene> {
  const anchors = join(folder.path, `scene-${++scenes}.pem`)
  writeFileSync(anchors, authority.trustPem)
  const cache = new ContextCache({ authority, maxEntries: 10, now: () => new Date() })
  const server = await serveTls(cache.contextFor(host(name)))
  close = server.close
  return { port: server.port, anchors }
}

function run(program: string, args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'], timeout: DEADLINE_MS })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    child.stderr.on('data', (data) => (text += data))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, text }))
    // Some clients take the end of their input for a wish to leave, before the server has said a word.
    child.stdin.on('error', () => undefined)
  })
}

const authorities: Record<string, () => Promise<CertificateAuthority>> = {
  'a root that `ca init` limited to the host': () =>
    ownCa(folder.path, `own-${scenes}`, new Date(), { constraints: constraintsFor(patterns(NAME)) }),
  'an RSA root': () => load(opensslRoot(folder.path, { name: `rsa-${scenes}`, key: 'RSA-2048' })),
  'a P-384 intermediate under an RSA root': () => {
    const root = opensslRoot(folder.path, { name: `root-${scenes}`, key: 'RSA-2048' })
    return load(opensslIntermediate(folder.path, root, { name: `between-${scenes}`, key: 'P-384' }))
  },
}

for (const [title, make] of Object.entries(authorities)) {
  describe(`under ${title}`, () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      it(`openssl s_client ${version} verifies the chain it is sent`, async () => {
        const { port, anchors } = await stage(await make())
        const { text } = await run('openssl', [
          ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', NAME, version, '-x509_strict'],
          ...['-CAfile', anchors, '-no-CApath', '-no-CAstore', '-verify_return_error', '-verify_hostname', NAME],
        ])
        expect(text).toContain('Verify return code: 0 (ok)')
        expect(text).toContain(`Verified peername: ${NAME}`)
      })
    }

    itWith('gnutls-cli', 'gnutls-bin')('gnutls-cli verifies the chain it is sent', async () => {
      const { port, anchors } = await stage(await make())
      const identity = ['--sni-hostname', NAME, '--verify-hostname', NAME]
      const { text } = await run('gnutls-cli', ['--x509cafile', anchors, ...identity, '-p', String(port), '127.0.0.1'])
      expect(text).toContain('Status: The certificate is trusted.')
    })

    itWith('curl')('curl verifies the chain it is sent', async () => {
      const { port, anchors } = await stage(await make())
      const url = `https://${NAME}:${port}/`
      const { text } = await run('curl', [
        '-sv',
        '--noproxy',
        '*',
        '--cacert',
        anchors,
        '--resolve',
        `${NAME}:${port}:127.0.0.1`,
        url,
      ])
      expect(text).toMatch(/SSL certificate verify ok/)
    })

    itWith('python3')('Python verifies the chain it is sent', async () => {
      const { port, anchors } = await stage(await make())
      const script = [
        'import socket, ssl, sys',
        'context = ssl.create_default_context(cafile=sys.argv[2])',
        'context.verify_flags |= ssl.VERIFY_X509_STRICT',
        'with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as raw:',
        '    with context.wrap_socket(raw, server_hostname=sys.argv[3]) as inside:',
        '        print(inside.version(), inside.recv(1))',
      ]
      expect(await run('python3', ['-c', script.join('\n'), String(port), anchors, NAME])).toEqual({
        code: 0,
        text: "TLSv1.3 b'.'\n",
      })
    })
  })
}

describe('a host that is an address', () => {
  it('has a certificate that openssl s_client verifies by address', async () => {
    const authority = await ownCa(folder.path, 'address', new Date(), { constraints: constraintsFor(patterns('127.0.0.1')) })
    const { port, anchors } = await stage(authority, '127.0.0.1')
    const { text } = await run('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', anchors, '-verify_return_error', '-verify_ip', '127.0.0.1'],
    ])
    expect(text).toContain('Verify return code: 0 (ok)')
  })

  itWith('curl')('and curl too', async () => {
    const authority = await ownCa(folder.path, 'address-curl', new Date(), { constraints: constraintsFor(patterns('127.0.0.1')) })
    const { port, anchors } = await stage(authority, '127.0.0.1')
    const { text } = await run('curl', ['-sv', '--noproxy', '*', '--cacert', anchors, `https://127.0.0.1:${port}/`])
    expect(text).toMatch(/SSL certificate verify ok/)
  })
})
