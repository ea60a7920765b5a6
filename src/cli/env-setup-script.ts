import { type ClientSettings, dockerClientConfig, shellExports, systemdDropIn } from './env-settings.ts'

/** Debian's and Ubuntu's, which compute instances are. */
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const CERTIFICATE = '/usr/local/share/ca-certificates/sallyport-ca.crt'

/** Services that run what users run. Whichever exist get the settings; none of Azure ML's own agents is among them. */
const SERVICES = ['jupyter', 'jupyterhub', 'rstudio-server', 'docker'] as const

/** Tools that bring roots of their own are pointed at the system's, which holds the public ones too. */
const CA_VARIABLES = [
  ['REQUESTS_CA_BUNDLE', BUNDLE],
  ['SSL_CERT_FILE', BUNDLE],
  ['CURL_CA_BUNDLE', BUNDLE],
  ['NODE_EXTRA_CA_CERTS', CERTIFICATE],
] as const

/** A script for a compute instance: run as root, once or at every start; it replaces files of its own and changes no others. */
export function setupScript(settings: ClientSettings): string {
  const { caPem } = settings
  return [
    '#!/bin/bash',
    '# Made by `sallyport env --for compute-instance`: every way out of this machine that can be told goes through the egress gateway.',
    'set -euo pipefail',
    '',
    'put() { mkdir -p "$(dirname "$1")" && cat > "$1" && chmod 644 "$1"; }',
    '',
    ...(caPem === undefined ? [] : [`put ${CERTIFICATE} ${heredoc(caPem)}`, 'update-ca-certificates', '']),
    '# Login shells, and what they start.',
    `put /etc/profile.d/sallyport.sh ${heredoc(profile(settings))}`,
    '',
    '# Services read no profile.',
    `for service in ${SERVICES.join(' ')}; do`,
    '  systemctl cat "$service.service" > /dev/null 2>&1 || continue',
    `  put "/etc/systemd/system/$service.service.d/sallyport.conf" ${heredoc(systemdDropIn(settings, dropInCa(caPem)))}`,
    'done',
    'systemctl daemon-reload',
    `for service in ${SERVICES.join(' ')}; do systemctl try-restart "$service.service" > /dev/null 2>&1 || true; done`,
    '',
    '# apt under sudo sees no variables.',
    `put /etc/apt/apt.conf.d/95sallyport ${heredoc(aptConf(settings))}`,
    '',
    '# conda, for environments of any user.',
    `put /etc/conda/condarc.d/sallyport.yml ${heredoc(condarc(settings))}`,
    '',
    '# pip and git, where sudo drops the variables.',
    `command -v pip > /dev/null && pip config --global set global.proxy ${settings.url} || true`,
    `command -v git > /dev/null && git config --system http.proxy ${settings.url} || true`,
    '',
    '# Containers and image builds of whoever has no Docker settings yet.',
    'for home in /root /home/*; do',
    '  [ -d "$home" ] && [ ! -e "$home/.docker/config.json" ] || continue',
    `  put "$home/.docker/config.json" ${heredoc(`${JSON.stringify(dockerClientConfig(settings), undefined, 2)}\n`)}`,
    '  chown -R --reference="$home" "$home/.docker"',
    'done',
    '',
  ].join('\n')
}

function profile(settings: ClientSettings): string {
  const { host, port, noProxy, caPem } = settings
  // Java asks no variable but its own; `|` between hosts, and `*` where others have a leading dot.
  const direct = noProxy.map((name) => (name.startsWith('.') ? `*${name}` : name.includes(':') ? `[${name}]` : name)).join('|')
  const java = ['http', 'https'].map((scheme) => `-D${scheme}.proxyHost=${host} -D${scheme}.proxyPort=${port}`).join(' ')
  return [
    ...shellExports(settings),
    `export JAVA_TOOL_OPTIONS='${java} -Dhttp.nonProxyHosts=${direct}'`,
    ...(caPem === undefined ? [] : CA_VARIABLES.map(([name, value]) => `export ${name}=${value}`)),
    '',
  ].join('\n')
}

function dropInCa(caPem: string | undefined): readonly string[] {
  return caPem === undefined ? [] : CA_VARIABLES.map(([name, value]) => `Environment="${name}=${value}"`)
}

function aptConf({ url }: ClientSettings): string {
  return `Acquire::http::Proxy "${url}";\nAcquire::https::Proxy "${url}";\n`
}

function condarc({ url, caPem }: ClientSettings): string {
  return `proxy_servers:\n  http: ${url}\n  https: ${url}\n${caPem === undefined ? '' : `ssl_verify: ${BUNDLE}\n`}`
}

/** Text for standard input, taken as it stands. */
function heredoc(text: string): string {
  return `<< 'SALLYPORT_END'\n${text.endsWith('\n') ? text : `${text}\n`}SALLYPORT_END`
}
