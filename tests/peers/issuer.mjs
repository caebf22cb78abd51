// An OIDC issuer (oidc-provider) on loopback that gives JWT access tokens by client credentials, for the audience
// that the resource indicator names (RFC 8707).
//
// Each person of the tests is a client: `{"id", "groups"?, "roles"?, "scope"?, "age"?, "algorithm"?}` in ISSUER_PEOPLE.
// `age` makes the token that many seconds older (or, negative, younger) than it is. Prints one line of JSON once it
// listens: `issuer` and `token` of the real one, `forger` the token endpoint of another that names itself so with keys
// of its own, `other` issuer and token of one that nobody configured. Ends when its stdin ends.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const people = JSON.parse(process.env.ISSUER_PEOPLE);

const listen = (server) => new Promise((done) => {
  server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`));
});

const [real, forger, other] = [createServer(), createServer(), createServer()];
const [issuer, forgery, otherIssuer] = await Promise.all([real, forger, other].map(listen));
real.on("request", provider(issuer).callback());
forger.on("request", provider(issuer).callback());
other.on("request", provider(otherIssuer).callback());
console.log(JSON.stringify({
  issuer,
  token: `${issuer}/token`,
  forger: `${forgery}/token`,
  other: { issuer: otherIssuer, token: `${otherIssuer}/token` },
}));
process.stdin.on("end", () => process.exit(0)).resume();

function provider(issuer) {
  return new Provider(issuer, {
    clients: people.map(({ id, scope }) => ({
      token_endpoint_auth_method: "client_secret_post",
      client_id: id,
      client_secret: `${id} of the tests, not a secret at all`,
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
      scope,
    })),
    jwks: { keys: keys() },
    scopes: ["events:read", "mcp:call"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_context, resource, { clientId }) => ({
          scope: "events:read mcp:call",
          audience: resource,
          accessTokenTTL: 3600,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: person(clientId).algorithm ?? "ES256" } },
        }),
      },
    },
    extraTokenClaims: async (_context, { clientId }) => {
      const { groups = [], roles = [] } = person(clientId);
      return { groups, roles, kind: "person" };
    },
    formats: {
      customizers: {
        jwt: async (_context, { clientId }, { payload }) => {
          const { age = 0 } = person(clientId);
          payload.iat -= age;
          payload.nbf = payload.iat;
          payload.exp -= age;
        },
      },
    },
  });
}

function keys() {
  const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = ({ privateKey }, alg) => ({ ...privateKey.export({ format: "jwk" }), alg, use: "sig" });
  return [jwk(elliptic, "ES256"), jwk(rsa, "RS256")];
}

function person(id) {
  return people.find((person) => person.id === id);
}
