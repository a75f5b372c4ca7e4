import {
  BinaryPayloadConverter,
  CompositePayloadConverter,
  JsonPayloadConverter,
  type Payload,
  UndefinedPayloadConverter,
} from '@temporalio/common';
import { BROKEN_JSON } from '../config/input.ts';

/** JSON that a person pasted may be broken. To throw here would fail the workflow task for ever; a marker lets the input's schema refuse it at once. */
class TolerantJsonPayloadConverter extends JsonPayloadConverter {
  override fromPayload<T>(payload: Payload): T {
    try {
      return super.fromPayload<T>(payload);
    } catch (error) {
      return { [BROKEN_JSON]: error instanceof Error ? error.message : String(error) } as T;
    }
  }
}

/** Found by Temporal under this name, in the worker and in the workflow sandbox alike. */
export const payloadConverter = new CompositePayloadConverter(
  new UndefinedPayloadConverter(),
  new BinaryPayloadConverter(),
  new TolerantJsonPayloadConverter(),
);
