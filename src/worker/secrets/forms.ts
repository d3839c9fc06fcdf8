/**
 * The forms in which the value of a secret shows: as it is, and as programs commonly write it.
 *
 * - the value, without the white space around it too;
 * - each line of a value with several, if it has four characters: programs print a key line by line, and terminals end
 *   lines otherwise. Shorter lines (a lone brace) are hidden only as part of the whole;
 * - value and lines as JSON text has them: plainly, in ASCII, and as Go, Gson, .NET and PHP write it, who escape more;
 * - the value in a URL or a form, whichever marks its writer leaves alone, with `/` as it is or escaped;
 * - the value in base64, of either alphabet, alone, wrapped at 76 or 64 columns, and inside something longer
 *   (`Authorization: Basic`, where user and password are one text): all characters that depend on nothing but the value.
 *
 * A value of one to three characters is hidden as it is, wherever it stands, and in no other form: it is too short to
 * be a secret, and in base64 it would be found everywhere.
 */

/** In characters: what is shorter is found by chance. */
const lengthMin = 4;

/** In characters: what is longer is looked for in fewer ways, for each costs memory in every attempt. */
const dialectLengthMax = 4_096;

export function formsOf(value: string): Set<string> {
  const forms = new Set<string>();
  if (value === '') return forms;
  forms.add(value);
  if (value.length < lengthMin) return forms;
  const lines = value.split(/\r\n|\r|\n/).map((line) => line.trim());
  for (const text of [value, ...lines]) {
    if (text.length < lengthMin) continue;
    forms.add(text);
    addJsonForms(forms, text);
  }
  addUrlForms(forms, value.toWellFormed());
  addBase64Forms(forms, Buffer.from(value));
  return forms;
}

function addJsonForms(forms: Set<string>, text: string): void {
  const inJson = JSON.stringify(text).slice(1, -1);
  const inAscii = inJson.replaceAll(/[^ -~]/g, toUnicodeEscape);
  forms.add(inJson);
  forms.add(inAscii);
  forms.add(inJson.replaceAll(/[<>&\u2028\u2029]/g, toUnicodeEscape));
  if (text.length > dialectLengthMax) return;
  // Gson, PHP (with and without JSON_UNESCAPED_UNICODE) and System.Text.Json of .NET.
  forms.add(inJson.replaceAll(/[<>&='\u2028\u2029]/g, toUnicodeEscape));
  for (const json of [inJson, inAscii]) forms.add(json.replaceAll('/', '\\/'));
  forms.add(inJson.replaceAll(/\\"|[^ -~]|[<>&+'`]/g, (mark) => `\\u${hexOf(mark.slice(-1)).toUpperCase()}`));
}

/** Of one UTF-16 unit, as JSON has it. */
function toUnicodeEscape(unit: string): string {
  return `\\u${hexOf(unit)}`;
}

function hexOf(unit: string): string {
  return unit.charCodeAt(0).toString(16).padStart(4, '0');
}

function addUrlForms(forms: Set<string>, text: string): void {
  const plain = encodeURIComponent(text);
  // What `encodeURIComponent` leaves alone and others do not.
  const strict = plain.replaceAll(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  const inForm = new URLSearchParams([['', text]]).toString().slice(1);
  for (const form of [plain, strict, inForm]) forms.add(form);
  if (text.length > dialectLengthMax) return;
  forms.add(encodeURI(text));
  for (const form of [plain, strict, inForm, strict.replaceAll('%20', '+')]) {
    // Python's `quote` leaves "/" alone, .NET's `UrlEncode` writes small letters.
    for (const inUrl of [form, form.replaceAll('%2F', '/')]) {
      forms.add(inUrl);
      forms.add(inUrl.replaceAll(/%../g, (escaped) => escaped.toLowerCase()));
    }
  }
}

function addBase64Forms(forms: Set<string>, bytes: Buffer): void {
  const alone = bytes.toString('base64');
  const unpadded = alone.replace(/=+$/, '');
  const pieces = [unpadded.match(/.{1,76}/g), unpadded.match(/.{1,64}/g)].flatMap((lines) => lines ?? []);
  const texts = [alone, unpadded, ...pieces.filter(({ length }) => length >= lengthMin)];
  // Three bytes become four characters: what stands before the value shifts it by none, one or two.
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const first = Math.ceil((before * 8) / 6);
    const end = Math.floor((whole.length * 8) / 6);
    texts.push(whole.toString('base64').slice(first, end));
  }
  for (const text of texts) {
    forms.add(text);
    forms.add(text.replaceAll('+', '-').replaceAll('/', '_'));
  }
}
