import { readFileSync } from 'node:fs'

/**
 * The first bytes that real programs sent to a listener on 127.0.0.1 which read and answered nothing. Each `.hex` file says in
 * its comment which program, which version and how it was called; `origin.example` was pointed at loopback.
 */
export interface CapturedHello {
  readonly name: string
  /** Everything the program sent before it waited; longer than the hello where early data follows. */
  readonly bytes: Uint8Array
  readonly serverNames: readonly string[]
  readonly alpn: readonly string[]
  readonly ech: boolean
  readonly supportedVersions: readonly number[]
  readonly earlyData: boolean
  readonly helloBytes: number
}

const TLS13 = 0x0304
const TLS12 = 0x0303
const TLS11 = 0x0302
const TLS10 = 0x0301
const ALL_VERSIONS = [TLS13, TLS12, TLS11, TLS10]
const WEB = ['h2', 'http/1.1']

const USUAL = { serverNames: ['origin.example'], alpn: WEB, ech: false, supportedVersions: [TLS13, TLS12], earlyData: false }
const numbered = (count: number, name: (n: number) => string): string[] => Array.from({ length: count }, (_, n) => name(n))

export const CAPTURED: readonly CapturedHello[] = [
  captured('curl-tls13', { supportedVersions: ALL_VERSIONS }),
  captured('curl-tls12-only', { supportedVersions: [] }),
  captured('curl-address', { supportedVersions: ALL_VERSIONS, serverNames: [] }),
  captured('openssl-s_client', { supportedVersions: ALL_VERSIONS }),
  captured('openssl-tls10', { supportedVersions: [], alpn: [] }),
  captured('openssl-split-send', {
    supportedVersions: ALL_VERSIONS,
    alpn: numbered(60, (n) => `protocol-${String(n + 1).padStart(2, '0')}`),
  }),
  captured('openssl-early-data', { supportedVersions: ALL_VERSIONS, alpn: [], earlyData: true, helloBytes: 419 }),
  captured('wget-gnutls', { supportedVersions: ALL_VERSIONS, alpn: [], serverNames: ['localhost'] }),
  captured('gnutls-cli', { supportedVersions: ALL_VERSIONS, alpn: [] }),
  captured('git', { supportedVersions: ALL_VERSIONS }),
  captured('python', { alpn: [] }),
  captured('node', {}),
  captured('node-resumed', { alpn: [...WEB, ...numbered(40, (n) => `private-protocol-${n}`)] }),
  captured('node24', {}),
  captured('java', {}),
  captured('chromium', { supportedVersions: [0xeaea, TLS13, TLS12], ech: true }),
]

function captured(name: string, said: Partial<CapturedHello>): CapturedHello {
  const bytes = readHex(name)
  return { name, bytes, helloBytes: bytes.length, ...USUAL, ...said }
}

function readHex(name: string): Uint8Array {
  const text = readFileSync(new URL(`./${name}.hex`, import.meta.url), 'utf8')
  return Uint8Array.from(Buffer.from(text.replace(/^#.*$/gm, '').replace(/\s/g, ''), 'hex'))
}
