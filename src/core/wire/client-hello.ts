import { err, ok, type Result } from '../result.ts'
import { HelloAssembly, INCOMPLETE, type Incomplete, malformed, TLS_MAJOR, type Unreadable } from './tls-handshake.ts'
import { TlsVector } from './tls-vector.ts'

export { MAX_HELLO_BYTES } from './tls-handshake.ts'

/** What a client says about itself before anything is encrypted (RFC 8446 section 4.1.2). Nothing here has been judged. */
export interface ClientHello {
  /**
   * The host names of `server_name` (RFC 6066 section 3), in order and as sent: Latin-1, one character a byte, never empty. The
   * RFC allows one; several, NUL, `%`, addresses and upper case are passed up for the judge to refuse.
   */
  readonly serverNames: readonly string[]
  /** `server_name` holds something that is no host name. */
  readonly hasOtherNameTypes: boolean
  /** Protocol names (RFC 7301), Latin-1, GREASE included. */
  readonly alpn: readonly string[]
  /** `encrypted_client_hello` is there, GREASE (RFC 9849 section 6.2) included: nobody but the origin can tell the two apart. */
  readonly ech: boolean
  /** As listed, GREASE included; empty when the extension is absent, as in TLS 1.2 and older. */
  readonly supportedVersions: readonly number[]
  /** Encrypted 0-RTT records may follow the hello at once (RFC 8446 section 4.2.10). */
  readonly earlyData: boolean
  /** Bytes of input up to the end of the record that ends the hello. */
  readonly length: number
}

export type HelloReading = Incomplete | Unreadable | { readonly kind: 'hello'; readonly hello: ClientHello }

/** A record with the fatal alert `access_denied` (RFC 8446 section 6.2), which every TLS client takes before a ServerHello. Not to be written to. */
export const ACCESS_DENIED_ALERT: Uint8Array = Uint8Array.of(21, 3, 3, 0, 2, 2, 49)

/** The same with `internal_error`, which is how a TLS server says that it failed and that the client is not to blame. */
export const INTERNAL_ERROR_ALERT: Uint8Array = Uint8Array.of(21, 3, 3, 0, 2, 2, 80)

/** IANA, TLS ExtensionType values. */
const SERVER_NAME = 0
const ALPN = 16
const EARLY_DATA = 42
const SUPPORTED_VERSIONS = 43
const ENCRYPTED_CLIENT_HELLO = 0xfe0d

/** `NameType.host_name`, RFC 6066 section 3. */
const HOST_NAME = 0
const RANDOM_BYTES = 32
const SESSION_ID_BYTES_MAX = 32

/**
 * Reads the ClientHello at the front of a connection's bytes. Pure, total and linear; never throws. `incomplete` means that more
 * bytes could make it a hello; anything else is final, whatever follows. To read again after every segment, use `HelloReader`.
 */
export function readClientHello(bytes: Uint8Array): HelloReading {
  return new HelloReader().push(bytes)
}

/**
 * The same in pieces of any size: after each the reading is what `readClientHello` gives for all of them together, at the cost of
 * the new piece alone. Keeps no reference to what it is given, and nothing but the reading once that is final.
 */
export class HelloReader {
  #assembly: HelloAssembly | undefined = new HelloAssembly()
  #reading: HelloReading = INCOMPLETE

  push(chunk: Uint8Array): HelloReading {
    if (this.#assembly === undefined) return this.#reading
    const assembled = this.#assembly.push(chunk)
    if (assembled.kind === 'incomplete') return INCOMPLETE

    this.#assembly = undefined
    if (assembled.kind === 'message') {
      const said = readBody(new TlsVector(assembled.body))
      this.#reading = said.ok ? { kind: 'hello', hello: { ...said.value, length: assembled.length } } : malformed(said.error)
    } else this.#reading = assembled
    return this.#reading
  }
}

type Said = Omit<ClientHello, 'length'>

const SAID_NOTHING: Said = {
  serverNames: [],
  hasOtherNameTypes: false,
  alpn: [],
  ech: false,
  supportedVersions: [],
  earlyData: false,
}

function readBody(body: TlsVector): Result<Said, string> {
  const version = body.uint16()
  const hasRandom = body.skip(RANDOM_BYTES)
  const sessionId = body.vector8()
  const cipherSuites = body.vector16()
  const compression = body.vector8()
  if (version === undefined || !hasRandom || sessionId === undefined || cipherSuites === undefined || compression === undefined)
    return err('the ClientHello ends before its extensions')
  if (version >> 8 !== TLS_MAJOR) return err('the ClientHello is not for TLS')
  if (sessionId.left > SESSION_ID_BYTES_MAX) return err(`the session id is longer than ${SESSION_ID_BYTES_MAX} bytes`)
  if (cipherSuites.left === 0 || cipherSuites.left % 2 !== 0) return err('the cipher suites are not a list of pairs of bytes')
  if (compression.left === 0) return err('the compression methods are empty')
  // TLS 1.2 and older may leave out the whole block (RFC 5246 section 7.4.1.2).
  if (body.left === 0) return ok(SAID_NOTHING)

  const extensions = body.vector16()
  if (extensions === undefined) return err('the extensions run past the ClientHello')
  if (body.left > 0) return err('something follows the extensions')
  return readExtensions(extensions)
}

type Draft = { -readonly [K in keyof Said]: Said[K] }

function readExtensions(extensions: TlsVector): Result<Said, string> {
  const said: Draft = { ...SAID_NOTHING }
  const seen = new Set<number>()
  while (extensions.left > 0) {
    const type = extensions.uint16()
    const content = extensions.vector16()
    if (type === undefined || content === undefined) return err('an extension runs past the extensions')
    // RFC 8446 section 4.2. Of two server names one implementation would take the first and another the last.
    if (seen.has(type)) return err('an extension occurs twice')
    seen.add(type)
    const fault = readExtension(type, content, said)
    if (fault !== undefined) return err(fault)
  }
  return ok(said)
}

/** Notes what an extension says; gives what is wrong with it, if anything. */
function readExtension(type: number, content: TlsVector, said: Draft): string | undefined {
  switch (type) {
    case SERVER_NAME:
      return readServerNames(content, said)
    case ALPN:
      return readProtocols(content, said)
    case SUPPORTED_VERSIONS:
      return readVersions(content, said)
    case ENCRYPTED_CLIENT_HELLO:
      said.ech = true
      return undefined
    case EARLY_DATA:
      said.earlyData = true
      return undefined
    default:
      return undefined
  }
}

/**
 * RFC 6066 section 3. Later name types were promised a two-byte length (RFC 6066, end of section 3), which makes a list with them
 * readable to its end; one that does not keep the promise is malformed like any other list that does not add up.
 */
function readServerNames(content: TlsVector, said: Draft): string | undefined {
  const list = content.vector16()
  if (list === undefined) return 'the server names run past their extension'
  if (content.left > 0) return 'something follows the server names in their extension'
  if (list.left === 0) return 'the list of server names is empty'
  const serverNames: string[] = []
  let hasOtherNameTypes = false
  while (list.left > 0) {
    const nameType = list.uint8()
    const name = list.vector16()
    if (nameType === undefined || name === undefined) return 'a server name runs past its list'
    if (nameType !== HOST_NAME) hasOtherNameTypes = true
    else if (name.left === 0) return 'a server name is empty'
    else serverNames.push(name.text())
  }
  said.serverNames = serverNames
  said.hasOtherNameTypes = hasOtherNameTypes
  return undefined
}

/** RFC 7301 section 3.1: a list of at least one name, none of them empty. */
function readProtocols(content: TlsVector, said: Draft): string | undefined {
  const list = content.vector16()
  if (list === undefined) return 'the ALPN names run past their extension'
  if (content.left > 0) return 'something follows the ALPN names in their extension'
  if (list.left === 0) return 'the list of ALPN names is empty'
  const alpn: string[] = []
  while (list.left > 0) {
    const name = list.vector8()
    if (name === undefined) return 'an ALPN name runs past its list'
    if (name.left === 0) return 'an ALPN name is empty'
    alpn.push(name.text())
  }
  said.alpn = alpn
  return undefined
}

/** RFC 8446 section 4.2.1: `ProtocolVersion versions<2..254>`. */
function readVersions(content: TlsVector, said: Draft): string | undefined {
  const list = content.vector8()
  if (list === undefined) return 'the supported versions run past their extension'
  if (content.left > 0) return 'something follows the supported versions in their extension'
  if (list.left === 0 || list.left % 2 !== 0) return 'the supported versions are not a list of pairs of bytes'
  const supportedVersions: number[] = []
  for (let version = list.uint16(); version !== undefined; version = list.uint16()) supportedVersions.push(version)
  said.supportedVersions = supportedVersions
  return undefined
}
