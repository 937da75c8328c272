// A small use of the generated types: tsc refuses it when the document no longer says what a caller relies on.
import type { paths } from "./demure";

type Moderate = paths["/v1/moderate"]["post"];
type Asked = NonNullable<Moderate["requestBody"]>["content"]["application/json"];
type Answered = Moderate["responses"][200]["content"]["application/json"];
type Refused = Moderate["responses"][401]["content"]["application/problem+json"];

export const asked: Asked = {
  items: [{ id: "avatar-7", url: "https://example.org/picture.jpg", context: "avatar" }],
  review: true,
};

export function mayBeShown(answered: Answered): boolean {
  return answered.items.every((item) => item.decision === "safe" && !item.error);
}

export function isForReview(answered: Answered): string[] {
  return answered.items.flatMap((item) => (item.review ? [item.review.id] : []));
}

export function why(refused: Refused): string {
  const code: string = refused.code;
  return `${code}: ${refused.detail}`;
}
