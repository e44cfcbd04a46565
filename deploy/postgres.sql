-- What docker-compose.yml starts with: the source's table, and the sink's database.
CREATE DATABASE warehouse;

CREATE TABLE orders (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	total      numeric(12, 2) NOT NULL,
	note       text,
	created_at timestamptz NOT NULL DEFAULT now()
);
