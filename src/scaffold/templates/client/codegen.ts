import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "schema.graphql",
  documents: "src/operations.ts",
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: "string",
        enumType: "string-literal",
        scalars: { ID: "string", DateTime: "string", JSONObject: "Record<string, unknown>" },
        useTypeImports: true,
      },
    },
  },
  importExtension: ".js",
};

export default config;
