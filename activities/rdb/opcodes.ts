/** What stands in an RDB where a type could: all that is no value. As in the servers' rdb.h. */
export const [SLOT_INFO, FUNCTION, MODULE_AUX, IDLE, FREQ, AUX] = [0xf4, 0xf5, 0xf7, 0xf8, 0xf9, 0xfa];
export const [RESIZE_DB, EXPIRES_MS, EXPIRES_S, SELECT_DB, EOF] = [0xfb, 0xfc, 0xfd, 0xfe, 0xff];
