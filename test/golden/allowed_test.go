package golden

// allowed is the table of exceptions, by case.
var allowed = []exception{
	{"array_dims", "public.t", 'b', "null, or a Java object's name, for each inner array; the relay writes their text, in a column that is of text from then on", []place{
		piece(1, "value", `["null","int"]}],"default":null},{"name":"ta"`, `["null",{"type":"string","connect.version":1,"connect.name":"tailrace.pg.int4"}]}],"default":null},{"name":"ta"`),
		at(1, "value.after.ia[0]", `"{1,2}"`), at(1, "value.after.ia[1]", `"{3,4}"`),
		at(1, "value.after.ta[0]", `"{a,b}"`), at(1, "value.after.ta[1]", `"{c,d}"`),
		at(2, "value.after.ia[0]", `"5"`),
	}},
	{"array_dims_snapshot", "public.t", 'b', "null, or a Java object's name, for each inner array; the relay writes their text, in a column that is of text from then on", []place{
		piece(1, "value", `["null","int"]}],"default":null},{"name":"ta"`, `["null",{"type":"string","connect.version":1,"connect.name":"tailrace.pg.int4"}]}],"default":null},{"name":"ta"`),
		at(1, "value.after.ia[0]", `"{1,2}"`), at(1, "value.after.ia[1]", `"{3,4}"`),
		at(1, "value.after.ta[0]", `"{a,b}"`), at(1, "value.after.ta[1]", `"{c,d}"`),
		at(2, "value.after.ia[0]", `"5"`),
		at(3, "value.after.ia[0]", `"1"`), at(3, "value.after.ia[1]", `"2"`),
		at(4, "value.after.ia[0]", `"{1,2}"`), at(4, "value.after.ia[1]", `"{3,4}"`),
		at(4, "value.after.ta[0]", `"{a,b}"`), at(4, "value.after.ta[1]", `"{c,d}"`),
		at(5, "value.after.ia[0]", `"5"`),
	}},
	{"arrays", "public.t", 'b', "the microseconds of time[] are cut off", []place{
		at(0, "value.after.tma[0]", `49890123456`), at(2, "value.after.tma[0]", `49890123456`),
	}},
	{"bytea_output_escape", "public.t", 'a', "its task died of bytea_output = escape", []place{
		written(2, `c {"id":101} {"id":101,"b":{"bytes":"0102ff"}}`),
		written(3, `c {"id":102} {"id":102,"b":{"bytes":"616263"}}`),
	}},
	{"char_padding", "public.t", 'b', "a streamed name is null", []place{
		at(4, "value.after.n", `"nm"`), at(5, "value.after.n", `""`), at(6, "value.after.n", `"N"`),
	}},
	{"custom_key", "public.t", 'b', "the key of a deleted row, which the server does not send, is invented", []place{unwritten(4), unwritten(5)}},
	{"custom_key", "dead_letter", 'b', "the key of a deleted row, which the server does not send, is invented", []place{
		written(0, `dead letter: d public.t key null before {"id":"2"} after null, column b`),
	}},
	{"delete_no_pk", "public.tf", 'b', "a row without a key has no tombstone", []place{unwritten(4)}},
	{"dropped_table", "public.t", 'b', "the table's key, nullability and defaults are those of the rows' time, although it is dropped since", []place{
		piece(0, "value", `["null","int"],"default":null},{"name":"v","type":["null","string"],"default":null}`, `"int"},{"name":"v","type":[{"type":"string","connect.default":"d"},"null"],"default":"d"}`),
		at(0, "key", `{"id":1}`), at(1, "key", `{"id":1}`), at(2, "key", `{"id":1}`), at(3, "key", `{"id":1}`),
		at(2, "value.before.v", `"d"`),
	}},
	{"enum_array_null", "public.t", 'b', "one null makes the array of an enum null; the relay makes its items nullable", []place{
		piece(2, "value", `"items":{"type":"string","connect.version":1,"connect.parameters":{"allowed":"sad,ok"},"connect.name":"io.debezium.data.Enum"}}],"default":null}`,
			`"items":["null",{"type":"string","connect.version":1,"connect.parameters":{"allowed":"sad,ok"},"connect.name":"io.debezium.data.Enum"}]}],"default":null}`),
		at(2, "value.after.ea", `["ok",null]`), at(5, "value.after.ea", `["ok",null]`),
	}},
	{"enums", "public.t", 'b', "one null makes the array of an enum null; the relay makes its items nullable", []place{
		piece(2, "value", `"items":{"type":"string","connect.version":1,"connect.parameters":{"allowed":"sad,meh,ok,happy,very happy"},"connect.name":"io.debezium.data.Enum"}}]`,
			`"items":["null",{"type":"string","connect.version":1,"connect.parameters":{"allowed":"sad,meh,ok,happy,very happy"},"connect.name":"io.debezium.data.Enum"}]}]`),
		at(2, "value.after.ea", `[null,"ok"]`), at(6, "value.after.ea", `[null,"ok"]`),
	}},
	{"hstore_json", "public.t", 'c', "keys in the order of a Java hash table; the relay has the server's", []place{
		at(4, "value.after.h", `"{\"a\":\"2\",\"b\":\"1\",\"q\":\"say \\\"hi\\\"\"}"`), at(10, "value.after.h", `"{\"a\":\"2\",\"b\":\"1\",\"q\":\"say \\\"hi\\\"\"}"`),
	}},
	{"hstore_map", "public.t", 'c', "keys in the order of a Java hash table; the relay has the server's", []place{
		at(4, "value.after.h", `{"a":"2","b":"1","q":"say \"hi\""}`), at(10, "value.after.h", `{"a":"2","b":"1","q":"say \"hi\""}`),
	}},
	{"hstore_map_order", "public.t", 'c', "keys in the order of a Java hash table; the relay has the server's", []place{
		at(0, "value.after.h", `{"m":"14","n":"15","x":"11","y":"12","z":"13","Aa":"7","BB":"8","k1":"3","k2":"4","k3":"5","é":"9","k10":"6","zeta":"1","alpha":"2","long_key_name_here":"10"}`),
		at(1, "value.after.h", `{"m":"14","n":"15","x":"11","y":"12","z":"13","Aa":"7","BB":"8","k1":"3","k2":"4","k3":"5","é":"9","k10":"6","zeta":"1","alpha":"2","long_key_name_here":"10"}`),
	}},
	{"hstore_order", "public.t", 'c', "keys in the order of a Java hash table; the relay has the server's", []place{
		at(0, "value.after.h", `"{\"m\":\"14\",\"n\":\"15\",\"x\":\"11\",\"y\":\"12\",\"z\":\"13\",\"Aa\":\"7\",\"BB\":\"8\",\"k1\":\"3\",\"k2\":\"4\",\"k3\":\"5\",\"é\":\"9\",\"k10\":\"6\",\"zeta\":\"1\",\"alpha\":\"2\",\"long_key_name_here\":\"10\"}"`),
		at(1, "value.after.h", `"{\"m\":\"14\",\"n\":\"15\",\"x\":\"11\",\"y\":\"12\",\"z\":\"13\",\"Aa\":\"7\",\"BB\":\"8\",\"k1\":\"3\",\"k2\":\"4\",\"k3\":\"5\",\"é\":\"9\",\"k10\":\"6\",\"zeta\":\"1\",\"alpha\":\"2\",\"long_key_name_here\":\"10\"}"`),
	}},
	{"identity_using_index", "public.t", 'b', "the primary key, which the identity index does not have, is invented: an update of the index moves the row from key 0, a delete deletes key 0", []place{
		at(2, "key.id", `1`), at(2, "value.op", `"u"`), at(2, "value.before", `null`), at(2, "value.after", `{"id":1,"code":"b","v":"w","n":1}`),
		at(2, "headers.__debezium.newkey", absent),
		unwritten(3), unwritten(4), unwritten(6), unwritten(7),
	}},
	{"identity_using_index", "dead_letter", 'b', "the key of a deleted row, which the server does not send, is invented", []place{
		written(0, `dead letter: d public.t key null before {"code":"b"} after null, column id`),
	}},
	{"illegal_avro_name", "public.t", 'a', "its task died of a column's name", []place{written(0, `c {"id":1} {"id":1,"x_y":"a"}`)}},
	{"message_tx", "transaction", 'c', "the collection of logical messages is the identity of a Java object", []place{
		at(1, "value.data_collections[1].data_collection", `"message"`), at(3, "value.data_collections[0].data_collection", `"message"`),
	}},
	{"numeric_nan_precise_notnull", "public.t", 'a', "its task died of NaN in a NOT NULL column", []place{
		written(1, `c {"id":102} {"id":102,"n":null,"nf":{"scale":0,"value":{"bytes":"01"}}}`),
		written(2, `c {"id":103} {"id":103,"n":{"bytes":"64"},"nf":null}`),
		written(3, `c {"id":104} {"id":104,"n":{"bytes":"00fa"},"nf":{"scale":1,"value":{"bytes":"19"}}}`),
	}},
	{"partitions_child", "public.p", 'b', "each row is read twice: of the partitioned table, and of its partition", []place{unwritten(0), unwritten(1)}},
	{"partitions_child", "public.p1", 'b', "the snapshot begins with the partitions", []place{at(0, "value.source.snapshot", `"first"`)}},
	{"partitions_root", "public.p", 'b', "the snapshot ends with the partitioned table", []place{at(1, "value.source.snapshot", `"last"`)}},
	{"partitions_root", "public.p1", 'b', "each row is read twice: of the partitioned table, and of its partition", []place{unwritten(0)}},
	{"partitions_root", "public.p2", 'b', "each row is read twice: of the partitioned table, and of its partition", []place{unwritten(0)}},
	{"partitions_root_option", "public.p", 'b', "the snapshot ends with the partitioned table", []place{at(1, "value.source.snapshot", `"last"`)}},
	{"partitions_root_option", "public.p1", 'b', "each row is read twice: of the partitioned table, and of its partition", []place{unwritten(0)}},
	{"partitions_root_option", "public.p2", 'b', "each row is read twice: of the partitioned table, and of its partition", []place{unwritten(0)}},
	{"time_24_isostring", "public.t", 'b', "24:00 becomes 00:00", []place{
		at(0, "value.after.t", `"24:00:00Z"`), at(0, "value.after.t3", `"24:00:00Z"`),
		at(2, "value.after.t", `"24:00:00Z"`), at(2, "value.after.t3", `"24:00:00Z"`),
	}},
	{"time_24_structured", "public.t", 'b', "24:00 becomes null", []place{
		at(0, "value.after.t", `{"hour":24,"minute":0,"second":0,"nanos":0,"precision":6}`), at(0, "value.after.t3", `{"hour":24,"minute":0,"second":0,"nanos":0,"precision":3}`),
		at(2, "value.after.t", `{"hour":24,"minute":0,"second":0,"nanos":0,"precision":6}`), at(2, "value.after.t3", `{"hour":24,"minute":0,"second":0,"nanos":0,"precision":3}`),
	}},
	{"timestamp_far", "public.t", 'b', "the snapshot's dates in October 1582 are ten days off; its stream's are right", []place{at(5, "value.after.d", `-141432`)}},
	{"unusual_types", "public.t", 'b', "bit(n)[] is null in a field of bytes, a streamed name is null", []place{
		piece(0, "value", `{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}`, `{"type":"array","items":["null",{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}]}`),
		at(0, "value.after.bt", `[{"bytes":"05"}]`), at(2, "value.after.bt", `[{"bytes":"05"}]`), at(2, "value.after.n", `"nm"`),
	}},
	{"unusual_types_stream", "public.t", 'b', "bit(n)[] is null in a field of bytes, a streamed name is null", []place{
		piece(0, "value", `{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}`, `{"type":"array","items":["null",{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}]}`),
		at(0, "value.after.bt", `[{"bytes":"05"}]`), at(0, "value.after.n", `"nm"`),
	}},
	{"unusual_types_unknown", "public.t", 'b', "bit(n)[] is null in a field of bytes", []place{
		piece(0, "value", `{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}`, `{"type":"array","items":["null",{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}]}`),
		at(0, "value.after.bt", `[{"bytes":"05"}]`), at(2, "value.after.bt", `[{"bytes":"05"}]`),
	}},
	{"unusual_types_unknown_hex", "public.t", 'b', "bit(n)[] is null in a field of bytes", []place{
		piece(0, "value", `{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}`, `{"type":"array","items":["null",{"type":"bytes","connect.version":1,"connect.parameters":{"length":"3"},"connect.name":"io.debezium.data.Bits"}]}`),
		at(0, "value.after.bt", `[{"bytes":"05"}]`), at(2, "value.after.bt", `[{"bytes":"05"}]`),
	}},
}
