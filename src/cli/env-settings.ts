import { type ProxySettings, variables } from '../core/policy/client-settings.ts'

export { shellExports, variables } from '../core/policy/client-settings.ts'

/** What a client is told about the gateway, and the spellings that more than one place has in common. */

/** What is to be set. Nothing in it needs quoting in a shell. */
export interface ClientSettings extends ProxySettings {
  /** Of the gateway, as clients reach it. */
  readonly host: string
  readonly port: number
  /** What clients have to trust where the gateway inspects TLS. */
  readonly caPem: string | undefined
}

/** The daemon's drop-in: it reads no profile, and no `config.json`. */
export function systemdDropIn(settings: ClientSettings, more: readonly string[] = []): string {
  return ['[Service]', ...variables(settings).map(([name, value]) => `Environment="${name}=${value}"`), ...more, ''].join('\n')
}

/** `~/.docker/config.json`: the client hands these to every build and container, and to nothing else. */
export function dockerClientConfig({ url, noProxy }: ClientSettings): object {
  return { proxies: { default: { httpProxy: url, httpsProxy: url, noProxy: noProxy.join(',') } } }
}
