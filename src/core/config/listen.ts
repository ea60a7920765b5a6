import { type ListenAddress, parseListenAddress } from '../listen-address.ts'
import { z } from '../schema.ts'
import { parsed } from './fields.ts'

const address = parsed(parseListenAddress, '`address:port`; port 0 takes any free one')

const listener = (value: string, doc: string) =>
  z
    .union([address, z.strictObject({ address }).transform((object): ListenAddress => object.address)])
    .prefault(value)
    .describe(doc)

const file = (doc: string) => z.string().min(1).describe(doc)

const listenerTls = z
  .strictObject({
    certificate: file('PEM, with the chain behind it'),
    key: file('its private key, PEM, readable by its owner alone'),
    clientCa: file('PEM of the CAs that client certificates have to come from').optional(),
    crl: file('PEM of the revocation lists of those CAs, one for each CA of the chain').optional(),
    clientCertificates: z
      .enum(['required', 'optional'])
      .default('required')
      .describe('with `clientCa`: whether a client without a certificate is refused'),
  })
  .describe('clients speak TLS to the proxy (`https://` in their proxy settings); the files are loaded again when they change')
export type ListenerTlsSettings = z.output<typeof listenerTls>

/** Where the explicit proxy listens, and how it is spoken to. */
export interface ProxyListenAddress extends ListenAddress {
  readonly tls?: ListenerTlsSettings | undefined
}

const proxyListener = z
  .union([
    address.transform((plain): ProxyListenAddress => plain),
    z
      .strictObject({ address, tls: listenerTls.optional() })
      .transform(({ address: where, tls }): ProxyListenAddress => (tls === undefined ? where : { ...where, tls })),
  ])
  .prefault('127.0.0.1:3128')
  .describe('the explicit proxy')

export const listen = z
  .strictObject({
    proxy: proxyListener,
    metrics: listener('127.0.0.1:9464', '`/metrics`, `/livez` and `/readyz`, nothing else'),
    admin: listener('127.0.0.1:9465', '`/api/v1/...`; loopback only'),
  })
  .prefault({})
  .describe('where the gateway listens; the key names the listener in log and metrics')
