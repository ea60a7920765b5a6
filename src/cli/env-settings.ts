/** What a client is told about the gateway, and the spellings that more than one place has in common. */

/** What is to be set. Nothing in it needs quoting in a shell. */
export interface ClientSettings {
  /** Of the gateway, as clients reach it. */
  readonly host: string
  readonly port: number
  /** `http://HOST:PORT`, also for HTTPS: that is how one speaks to the proxy, not what is sent through it. */
  readonly url: string
  /** Names, addresses and `.suffix`es; never a `*` and never a range, which half of the readers do not know. */
  readonly noProxy: readonly string[]
  /** What clients have to trust where the gateway inspects TLS. */
  readonly caPem: string | undefined
}

/** Both spellings: curl reads only the small `http_proxy`, others only the capitals. */
export function variables({ url, noProxy }: ClientSettings): readonly (readonly [name: string, value: string])[] {
  const direct = noProxy.join(',')
  return [
    ['http_proxy', url],
    ['https_proxy', url],
    ['no_proxy', direct],
    ['HTTP_PROXY', url],
    ['HTTPS_PROXY', url],
    ['NO_PROXY', direct],
  ]
}

export function shellExports(settings: ClientSettings): readonly string[] {
  return variables(settings).map(([name, value]) => `export ${name}=${value}`)
}

/** The daemon's drop-in: it reads no profile, and no `config.json`. */
export function systemdDropIn(settings: ClientSettings, more: readonly string[] = []): string {
  return ['[Service]', ...variables(settings).map(([name, value]) => `Environment="${name}=${value}"`), ...more, ''].join('\n')
}

/** `~/.docker/config.json`: the client hands these to every build and container, and to nothing else. */
export function dockerClientConfig({ url, noProxy }: ClientSettings): object {
  return { proxies: { default: { httpProxy: url, httpsProxy: url, noProxy: noProxy.join(',') } } }
}
