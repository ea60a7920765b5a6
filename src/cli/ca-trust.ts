/**
 * How a client comes to trust the CA, tool by tool. Most read the system's store, and those that bring a store of their own have a
 * variable for another: pointed at the system's, it works for inspected and uninspected hosts alike.
 */

const CERTIFICATE = 'sallyport-ca.crt'
const DEBIAN_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const RHEL_BUNDLE = '/etc/pki/tls/certs/ca-bundle.crt'

interface Tool {
  readonly title: string
  readonly steps: readonly string[]
}

const TOOLS: readonly Tool[] = [
  {
    title: 'Debian, Ubuntu (curl, wget, git, .NET, Go, Ruby, R)',
    steps: [`sudo cp ${CERTIFICATE} /usr/local/share/ca-certificates/${CERTIFICATE} && sudo update-ca-certificates`],
  },
  {
    title: 'RHEL, Fedora, Azure Linux',
    steps: [`sudo cp ${CERTIFICATE} /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust`],
  },
  {
    title: 'Python: pip, requests, the Azure SDK and CLI (they bring their own roots)',
    steps: [
      `export REQUESTS_CA_BUNDLE=${DEBIAN_BUNDLE} SSL_CERT_FILE=${DEBIAN_BUNDLE} PIP_CERT=${DEBIAN_BUNDLE}`,
      `# on RHEL and its kin: ${RHEL_BUNDLE}`,
    ],
  },
  { title: 'conda', steps: [`conda config --set ssl_verify ${DEBIAN_BUNDLE}`] },
  {
    title: 'curl and git with a bundle of their own (conda, Windows)',
    steps: [`export CURL_CA_BUNDLE=${DEBIAN_BUNDLE}`, `git config --global http.sslCAInfo ${DEBIAN_BUNDLE}`],
  },
  {
    title: 'Node.js, npm, VS Code server',
    steps: [`export NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/${CERTIFICATE}`],
  },
  {
    title: 'Java (one certificate an import; it does not read the name limits of a root)',
    steps: [`keytool -importcert -cacerts -storepass changeit -noprompt -alias sallyport -file ${CERTIFICATE}`],
  },
  {
    title: 'Docker: the daemon reads the system store at start; in an image',
    steps: [
      'sudo systemctl restart docker',
      `COPY ${CERTIFICATE} /usr/local/share/ca-certificates/`,
      'RUN update-ca-certificates',
      `ENV REQUESTS_CA_BUNDLE=${DEBIAN_BUNDLE} SSL_CERT_FILE=${DEBIAN_BUNDLE} NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/${CERTIFICATE}`,
    ],
  },
  {
    title: 'AKS: nodes and pods, `httpProxyConfig.trustedCa` of the cluster',
    steps: [`base64 -w0 ${CERTIFICATE}`],
  },
]

/** @param hasRoot whether the CA file goes up to a root */
export function trustInstructions(configFile: string, hasRoot: boolean): string[] {
  return [
    'What clients install (nothing in it is secret):',
    `    sallyport ca show --pem --config ${configFile} > ${CERTIFICATE}`,
    ...(hasRoot
      ? []
      : [
          '    The root above this CA is not in the file. Clients that trust the root already need nothing;',
          '    others want the root: many tools do not take an intermediate as an anchor.',
        ]),
    ...TOOLS.flatMap(({ title, steps }) => ['', `${title}:`, ...steps.map((step) => `    ${step}`)]),
  ]
}
