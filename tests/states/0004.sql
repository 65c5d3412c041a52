-- Written by the code of commit 0c8303f, by tests/states/making.py; dumped with sqlite3's iterdump.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	chat_id VARCHAR(80) NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_attempts PRIMARY KEY (id)
);
CREATE TABLE cursors (
	harbor_id INTEGER NOT NULL, 
	log VARCHAR(300) NOT NULL, 
	row_id BIGINT NOT NULL, 
	op_time DATETIME, 
	floor_id BIGINT NOT NULL, 
	polled_at DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	floor_at DATETIME, 
	CONSTRAINT pk_cursors PRIMARY KEY (harbor_id, log), 
	CONSTRAINT fk_cursors_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "cursors" VALUES(1,'audit_log_ext',17,'2026-11-24 14:00:00.120000',2,'2026-11-24 14:00:00.120000','2026-11-24 12:01:00.000000',NULL);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	event_id INTEGER NOT NULL, 
	route VARCHAR(60) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	mode VARCHAR(10) DEFAULT 'auto' NOT NULL, 
	since DATETIME NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	finished_at DATETIME, 
	chat_id VARCHAR(80), 
	message_id BIGINT, 
	"group" VARCHAR(900), 
	held_until DATETIME, 
	follows INTEGER, 
	CONSTRAINT pk_deliveries PRIMARY KEY (id), 
	CONSTRAINT uq_deliveries_event_id_route UNIQUE (event_id, route), 
	CONSTRAINT fk_deliveries_event_id FOREIGN KEY(event_id) REFERENCES events (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES(1,1,'telegram','sent','','auto','2026-11-24 12:02:00.040000',1,'2026-11-24 13:40:00.000000','-1001',40,'push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d#audit_log_ext:3:2026-11-24T12:02:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(2,2,'telegram','sent','','auto','2026-11-24 12:03:00.040000',1,'2026-11-24 13:40:00.000000','-1001',41,'push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(3,3,'telegram','sent','','auto','2026-11-24 12:03:00.080000',1,'2026-11-24 13:40:00.000000','-1001',42,'push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(4,4,'telegram','sent','','auto','2026-11-24 12:03:00.120000',1,'2026-11-24 13:40:00.000000','-1001',43,'push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(5,5,'telegram','sent','','auto','2026-11-24 12:04:00.040000',1,'2026-11-24 13:40:00.000000','-1001',44,'push:team/app@sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb#audit_log_ext:7:2026-11-24T12:04:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(6,6,'telegram','off','events.ROBOT_CREATED = false','auto','2026-11-24 12:05:00.040000',0,'2026-11-24 12:06:00.000000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(7,7,'telegram','folded','part of a scan','auto','2026-11-24 12:05:00.120000',0,'2026-11-24 12:06:00.000000',NULL,NULL,NULL,NULL,9);
INSERT INTO "deliveries" VALUES(8,8,'telegram','off','events.ROBOT_DELETED = false','auto','2026-11-24 12:05:00.160000',0,'2026-11-24 12:06:00.000000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(9,9,'telegram','refused','Bad Request: chat not found','auto','2026-11-24 12:05:00.000000',0,'2026-11-24 13:40:00.000000',NULL,NULL,'push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d#audit_log_ext:3:2026-11-24T12:02:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(10,10,'telegram','sent','','auto','2026-11-24 12:08:00.040000',1,'2026-11-24 13:40:00.000000','-1001',46,'pull:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d|robot$team+node#audit_log_ext:11:2026-11-24T12:08:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(11,11,'telegram','sent','','auto','2026-11-24 12:20:00.040000',1,'2026-11-24 13:40:00.000000','-1001',47,'push:team/app@sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65#audit_log_ext:12:2026-11-24T12:20:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(12,12,'telegram','sent','','auto','2026-11-24 12:22:00.040000',1,'2026-11-24 13:40:00.000000','-1001',48,'run:deletions|carol|team#audit_log_ext:13:2026-11-24T12:22:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(13,13,'telegram','pending','','auto','2026-11-24 13:50:00.040000',0,NULL,NULL,NULL,'push:team/app@sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3#audit_log_ext:14:2026-11-24T13:50:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(14,14,'telegram','pending','','auto','2026-11-24 13:51:00.040000',0,NULL,NULL,NULL,'push:team/app@sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb#audit_log_ext:15:2026-11-24T13:51:00.040+00:00',NULL,NULL);
INSERT INTO "deliveries" VALUES(15,15,'telegram','off','events.ROBOT_CREATED = false','auto','2026-11-24 14:00:00.040000',0,'2026-11-24 14:00:00.120000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(16,16,'telegram','folded','part of a scan','auto','2026-11-24 14:00:00.120000',0,'2026-11-24 14:00:00.120000',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	harbor_id INTEGER NOT NULL, 
	"key" VARCHAR(700) NOT NULL, 
	type VARCHAR(40) NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	source VARCHAR(20) NOT NULL, 
	source_id BIGINT NOT NULL, 
	operator TEXT NOT NULL, 
	repository TEXT, 
	is_public BOOLEAN, 
	repository_created_at DATETIME, 
	tag TEXT, 
	digest TEXT, 
	subject TEXT NOT NULL, 
	scan_type VARCHAR(40), 
	scan_overview JSON, 
	scan_details JSON, 
	coverage JSON, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT uq_events_harbor_id_key UNIQUE (harbor_id, "key"), 
	CONSTRAINT fk_events_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "events" VALUES(1,1,'audit_log_ext:3:2026-11-24T12:02:00.040+00:00','PUSH_ARTIFACT','2026-11-24 12:02:00.040000','2026-11-24 12:06:00.000000','audit_log_ext',3,'ann','team/app',0,'2026-11-24 12:00:30.020000','1.1','sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(2,1,'audit_log_ext:4:2026-11-24T12:03:00.040+00:00','PUSH_ARTIFACT','2026-11-24 12:03:00.040000','2026-11-24 12:06:00.000000','audit_log_ext',4,'ann','team/multi',0,'2026-11-24 12:03:00.020000',NULL,'sha256:10efd9b00fc504c2149f31384b12410bb2070d27c7b3774afb7df090ad24b999','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(3,1,'audit_log_ext:5:2026-11-24T12:03:00.080+00:00','PUSH_ARTIFACT','2026-11-24 12:03:00.080000','2026-11-24 12:06:00.000000','audit_log_ext',5,'ann','team/multi',0,'2026-11-24 12:03:00.020000',NULL,'sha256:a9bb639ff1c31a96fe6cb84d5751f2b2e5444a08dcc070c41f8fd8663429f333','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(4,1,'audit_log_ext:6:2026-11-24T12:03:00.120+00:00','PUSH_ARTIFACT','2026-11-24 12:03:00.120000','2026-11-24 12:06:00.000000','audit_log_ext',6,'ann','team/multi',0,'2026-11-24 12:03:00.020000','multi','sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(5,1,'audit_log_ext:7:2026-11-24T12:04:00.040+00:00','PUSH_ARTIFACT','2026-11-24 12:04:00.040000','2026-11-24 12:06:00.000000','audit_log_ext',7,'bob','team/app',0,'2026-11-24 12:00:30.020000','1.0','sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(6,1,'audit_log_ext:8:2026-11-24T12:05:00.040+00:00','ROBOT_CREATED','2026-11-24 12:05:00.040000','2026-11-24 12:06:00.000000','audit_log_ext',8,'ann',NULL,NULL,NULL,NULL,NULL,'robot$team+kqzvbnwt-Trivy-45e35882-e7ff-11f1-8813-1e2f414c343c',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(7,1,'audit_log_ext:9:2026-11-24T12:05:00.120+00:00','PULL_ARTIFACT','2026-11-24 12:05:00.120000','2026-11-24 12:06:00.000000','audit_log_ext',9,'robot$team+kqzvbnwt-Trivy-45e35882-e7ff-11f1-8813-1e2f414c343c','team/app',0,'2026-11-24 12:00:30.020000',NULL,'sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(8,1,'audit_log_ext:10:2026-11-24T12:05:00.160+00:00','ROBOT_DELETED','2026-11-24 12:05:00.160000','2026-11-24 12:06:00.000000','audit_log_ext',10,'harbor-jobservice',NULL,NULL,NULL,NULL,NULL,'robot$team+kqzvbnwt-Trivy-45e35882-e7ff-11f1-8813-1e2f414c343c',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(9,1,'scan:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d:report-1:Success','SCANNING_COMPLETED','2026-11-24 12:05:00.000000','2026-11-24 12:06:00.000000','scan',0,'ann','team/app',0,NULL,'1.1','sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','','vulnerability','{"application/vnd.security.vulnerability.report; version=1.1": {"report_id": "report-1", "scan_status": "Success", "severity": "High", "duration": 0, "summary": {"fixable": 1, "summary": {"High": 2, "Low": 1}, "total": 3}, "start_time": "2026-11-24T12:05:00Z", "end_time": "2026-11-24T12:05:00Z", "complete_percent": 100, "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.58.0"}}}','{"named": [{"id": "CVE-2026-0", "severity": "High", "package": "p0", "version": "1", "fix_version": "2"}, {"id": "CVE-2026-1", "severity": "High", "package": "p1", "version": "1", "fix_version": ""}]}',NULL);
INSERT INTO "events" VALUES(10,1,'audit_log_ext:11:2026-11-24T12:08:00.040+00:00','PULL_ARTIFACT','2026-11-24 12:08:00.040000','2026-11-24 12:09:00.000000','audit_log_ext',11,'robot$team+node','team/app',0,'2026-11-24 12:00:30.020000','1.1','sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(11,1,'audit_log_ext:12:2026-11-24T12:20:00.040+00:00','PUSH_ARTIFACT','2026-11-24 12:20:00.040000','2026-11-24 12:21:00.000000','audit_log_ext',12,'ann','team/app',0,'2026-11-24 12:00:30.020000','2.0','sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(12,1,'audit_log_ext:13:2026-11-24T12:22:00.040+00:00','DELETE_ARTIFACT','2026-11-24 12:22:00.040000','2026-11-24 12:23:00.000000','audit_log_ext',13,'carol','team/app',0,'2026-11-24 12:00:30.020000','2.0','sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(13,1,'audit_log_ext:14:2026-11-24T13:50:00.040+00:00','PUSH_ARTIFACT','2026-11-24 13:50:00.040000','2026-11-24 13:52:00.000000','audit_log_ext',14,'ann','team/app',0,'2026-11-24 12:00:30.020000','3.0','sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(14,1,'audit_log_ext:15:2026-11-24T13:51:00.040+00:00','PUSH_ARTIFACT','2026-11-24 13:51:00.040000','2026-11-24 13:52:00.000000','audit_log_ext',15,'bob','team/app',0,'2026-11-24 12:00:30.020000','3.1','sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb','',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(15,1,'audit_log_ext:16:2026-11-24T14:00:00.040+00:00','ROBOT_CREATED','2026-11-24 14:00:00.040000','2026-11-24 14:00:00.120000','audit_log_ext',16,'ann',NULL,NULL,NULL,NULL,NULL,'robot$team+kqzvbnwt-Trivy-569bca87-e80f-11f1-b988-a6ce78e51061',NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(16,1,'audit_log_ext:17:2026-11-24T14:00:00.120+00:00','PULL_ARTIFACT','2026-11-24 14:00:00.120000','2026-11-24 14:00:00.120000','audit_log_ext',17,'robot$team+kqzvbnwt-Trivy-569bca87-e80f-11f1-b988-a6ce78e51061','team/app',0,'2026-11-24 12:00:30.020000',NULL,'sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb','',NULL,NULL,NULL,NULL);
CREATE TABLE gaps (
	id INTEGER NOT NULL, 
	harbor_id INTEGER NOT NULL, 
	source TEXT NOT NULL, 
	reason VARCHAR(40) NOT NULL, 
	began_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	noticed_at DATETIME NOT NULL, 
	rows BIGINT, 
	closed_at DATETIME, 
	told_at DATETIME, 
	CONSTRAINT pk_gaps PRIMARY KEY (id), 
	CONSTRAINT fk_gaps_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
CREATE TABLE harbors (
	id INTEGER NOT NULL, 
	url VARCHAR(1024) NOT NULL, 
	registry VARCHAR(512) DEFAULT '' NOT NULL, 
	detected JSON, 
	detected_at DATETIME, 
	allowance FLOAT, 
	allowance_at DATETIME, 
	pruned_before DATETIME, 
	registry_seen JSON, 
	CONSTRAINT pk_harbors PRIMARY KEY (id), 
	CONSTRAINT uq_harbors_url UNIQUE (url)
);
INSERT INTO "harbors" VALUES(1,'https://harbor.example.com','harbor.example.com','{"kind": "system", "table": "audit_log_ext", "projects": [], "unreadable": [], "version": "v2.16.0-c50c7ddd", "account": "robot$poller", "account_since": "2026-11-24T12:01:00+00:00", "position": 13, "known_position": 11}','2026-11-24 13:52:00.000000',2.36333333333333328596e+00,'2026-11-24 12:06:00.000000',NULL,NULL);
CREATE TABLE known_accessories (
	harbor_id INTEGER NOT NULL, 
	repository VARCHAR(512) NOT NULL, 
	digest VARCHAR(160) NOT NULL, 
	subject VARCHAR(160) NOT NULL, 
	kind VARCHAR(100) NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_known_accessories PRIMARY KEY (harbor_id, repository, digest), 
	CONSTRAINT fk_known_accessories_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
CREATE TABLE known_platforms (
	harbor_id INTEGER NOT NULL, 
	repository VARCHAR(512) NOT NULL, 
	digest VARCHAR(160) NOT NULL, 
	index_digest VARCHAR(160) NOT NULL, 
	platform VARCHAR(100) NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_known_platforms PRIMARY KEY (harbor_id, repository, digest), 
	CONSTRAINT fk_known_platforms_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "known_platforms" VALUES(1,'team/multi','sha256:10efd9b00fc504c2149f31384b12410bb2070d27c7b3774afb7df090ad24b999','sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93','linux/amd64','2026-11-24 12:03:00.120000');
INSERT INTO "known_platforms" VALUES(1,'team/multi','sha256:a9bb639ff1c31a96fe6cb84d5751f2b2e5444a08dcc070c41f8fd8663429f333','sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93','linux/arm64','2026-11-24 12:03:00.120000');
CREATE TABLE known_projects (
	harbor_id INTEGER NOT NULL, 
	name VARCHAR(300) NOT NULL, 
	is_public BOOLEAN, 
	checked_at DATETIME NOT NULL, 
	project_id BIGINT, 
	CONSTRAINT pk_known_projects PRIMARY KEY (harbor_id, name), 
	CONSTRAINT fk_known_projects_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "known_projects" VALUES(1,'team',0,'2026-11-24 13:52:00.000000',2);
CREATE TABLE known_reports (
	harbor_id INTEGER NOT NULL, 
	digest VARCHAR(160) NOT NULL, 
	scanner VARCHAR(200) NOT NULL, 
	report_id VARCHAR(200) NOT NULL, 
	ended_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	counts JSON, 
	findings JSON, 
	CONSTRAINT pk_known_reports PRIMARY KEY (harbor_id, digest, scanner), 
	CONSTRAINT fk_known_reports_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "known_reports" VALUES(1,'sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','Trivy','report-1','2026-11-24 12:05:00.000000','2026-11-24 13:52:00.040000','{"High": 2, "Low": 1}','["High|CVE-2026-0|p0", "High|CVE-2026-1|p1"]');
CREATE TABLE known_repositories (
	harbor_id INTEGER NOT NULL, 
	name VARCHAR(512) NOT NULL, 
	created_at DATETIME, 
	deleted_at DATETIME, 
	CONSTRAINT pk_known_repositories PRIMARY KEY (harbor_id, name), 
	CONSTRAINT fk_known_repositories_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "known_repositories" VALUES(1,'team/app','2026-11-24 12:00:30.020000',NULL);
INSERT INTO "known_repositories" VALUES(1,'team/multi','2026-11-24 12:03:00.020000',NULL);
CREATE TABLE known_tags (
	harbor_id INTEGER NOT NULL, 
	repository VARCHAR(512) NOT NULL, 
	tag VARCHAR(256) NOT NULL, 
	digest VARCHAR(160), 
	at DATETIME NOT NULL, 
	previous VARCHAR(160), 
	CONSTRAINT pk_known_tags PRIMARY KEY (harbor_id, repository, tag), 
	CONSTRAINT fk_known_tags_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "known_tags" VALUES(1,'team/app','1.0','sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb','2026-11-24 12:04:00.040000',NULL);
INSERT INTO "known_tags" VALUES(1,'team/app','1.1','sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','2026-11-24 12:02:00.040000',NULL);
INSERT INTO "known_tags" VALUES(1,'team/multi','multi','sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93','2026-11-24 12:03:00.120000',NULL);
INSERT INTO "known_tags" VALUES(1,'team/app','2.0',NULL,'2026-11-24 12:22:00.040000','sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65');
INSERT INTO "known_tags" VALUES(1,'team/app','3.0','sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3','2026-11-24 13:50:00.040000',NULL);
INSERT INTO "known_tags" VALUES(1,'team/app','3.1','sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb','2026-11-24 13:51:00.040000',NULL);
CREATE TABLE leases (
	name VARCHAR(60) NOT NULL, 
	owner TEXT NOT NULL, 
	acquired_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	epoch BIGINT DEFAULT '0' NOT NULL, 
	beats BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE polls (
	id INTEGER NOT NULL, 
	harbor_id INTEGER NOT NULL, 
	log TEXT NOT NULL, 
	covered_from DATETIME NOT NULL, 
	covered_to DATETIME NOT NULL, 
	polls INTEGER DEFAULT '1' NOT NULL, 
	rows INTEGER NOT NULL, 
	new INTEGER NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	error TEXT, 
	CONSTRAINT pk_polls PRIMARY KEY (id), 
	CONSTRAINT fk_polls_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "polls" VALUES(1,1,'audit_log_ext','2026-11-24 12:01:00.000000','2026-11-24 12:24:00.000000',6,17,11,0,NULL);
INSERT INTO "polls" VALUES(2,1,'audit_log_ext','2026-11-24 12:24:00.000000','2026-11-24 13:52:00.000000',1,3,2,0,NULL);
INSERT INTO "polls" VALUES(3,1,'audit_log_ext','2026-11-24 13:52:00.000000','2026-11-24 14:00:00.120000',1,3,2,0,NULL);
CREATE TABLE pruned_rows (
	harbor_id INTEGER NOT NULL, 
	source VARCHAR(20) NOT NULL, 
	block BIGINT NOT NULL, 
	bits BLOB NOT NULL, 
	CONSTRAINT pk_pruned_rows PRIMARY KEY (harbor_id, source, block), 
	CONSTRAINT fk_pruned_rows_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
CREATE TABLE routes (
	name VARCHAR(60) NOT NULL, 
	chat_id VARCHAR(80) NOT NULL, 
	thread_id BIGINT, 
	moved_to BIGINT, 
	topic_lost BOOLEAN DEFAULT false NOT NULL, 
	blocked_until DATETIME, 
	blocked_at DATETIME, 
	needs_operator BOOLEAN DEFAULT false NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	failures INTEGER DEFAULT '0' NOT NULL, 
	digest_at DATETIME, 
	CONSTRAINT pk_routes PRIMARY KEY (name)
);
CREATE TABLE scans (
	harbor_id INTEGER NOT NULL, 
	robot TEXT NOT NULL, 
	repository TEXT, 
	digest VARCHAR(160), 
	started_at DATETIME, 
	ended_at DATETIME, 
	asked_by TEXT, 
	list_digest VARCHAR(160), 
	looks INTEGER DEFAULT '0' NOT NULL, 
	look_at DATETIME, 
	outcome VARCHAR(20) NOT NULL, 
	CONSTRAINT pk_scans PRIMARY KEY (harbor_id, robot), 
	CONSTRAINT fk_scans_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "scans" VALUES(1,'robot$team+kqzvbnwt-Trivy-45e35882-e7ff-11f1-8813-1e2f414c343c','team/app','sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','2026-11-24 12:05:00.120000','2026-11-24 12:05:00.160000','ann',NULL,1,'2026-11-24 12:05:00.160000','told');
INSERT INTO "scans" VALUES(1,'robot$team+kqzvbnwt-Trivy-569bca87-e80f-11f1-b988-a6ce78e51061','team/app','sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb','2026-11-24 14:00:00.120000',NULL,'ann',NULL,0,'2026-11-24 14:05:00.120000','running');
CREATE TABLE sweeps (
	harbor_id INTEGER NOT NULL, 
	baseline_at DATETIME NOT NULL, 
	paid_until DATETIME NOT NULL, 
	looked_at DATETIME NOT NULL, 
	changed_since DATETIME NOT NULL, 
	round_began_at DATETIME NOT NULL, 
	round_before_at DATETIME, 
	repository_id BIGINT NOT NULL, 
	changed JSON NOT NULL, 
	ahead JSON NOT NULL, 
	steps INTEGER NOT NULL, 
	looks_in_vain INTEGER NOT NULL, 
	CONSTRAINT pk_sweeps PRIMARY KEY (harbor_id), 
	CONSTRAINT fk_sweeps_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "sweeps" VALUES(1,'2026-11-24 12:01:00.040000','2026-11-24 13:50:00.040000','2026-11-24 13:52:00.040000','2026-11-24 11:31:00.040000','2026-11-24 13:52:00.040000','2026-11-24 13:52:00.040000',0,'[]','[]',13,0);
CREATE TABLE threads (
	harbor_id INTEGER NOT NULL, 
	about TEXT NOT NULL, 
	"group" VARCHAR(900) NOT NULL, 
	began_at DATETIME NOT NULL, 
	last_at DATETIME NOT NULL, 
	members INTEGER NOT NULL, 
	CONSTRAINT pk_threads PRIMARY KEY (harbor_id, about), 
	CONSTRAINT fk_threads_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d','push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d#audit_log_ext:3:2026-11-24T12:02:00.040+00:00','2026-11-24 12:02:00.040000','2026-11-24 12:02:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d|ann','push:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d#audit_log_ext:3:2026-11-24T12:02:00.040+00:00','2026-11-24 12:02:00.040000','2026-11-24 12:02:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb','push:team/app@sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb#audit_log_ext:7:2026-11-24T12:04:00.040+00:00','2026-11-24 12:04:00.040000','2026-11-24 12:04:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb|bob','push:team/app@sha256:b910ce7ef3d90e013867bae074fcccaed29ee9262a006ef5af04c06d9b6bc1eb#audit_log_ext:7:2026-11-24T12:04:00.040+00:00','2026-11-24 12:04:00.040000','2026-11-24 12:04:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93','push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00','2026-11-24 12:03:00.120000','2026-11-24 12:03:00.120000',1);
INSERT INTO "threads" VALUES(1,'push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93|ann','push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00','2026-11-24 12:03:00.120000','2026-11-24 12:03:00.120000',1);
INSERT INTO "threads" VALUES(1,'push:team/multi@sha256:10efd9b00fc504c2149f31384b12410bb2070d27c7b3774afb7df090ad24b999','push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00','2026-11-24 12:03:00.040000','2026-11-24 12:03:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/multi@sha256:a9bb639ff1c31a96fe6cb84d5751f2b2e5444a08dcc070c41f8fd8663429f333','push:team/multi@sha256:4bd77cffb0da8cbda839ed5caaf5d418f19addc5941776e87261e000d6f96e93#audit_log_ext:6:2026-11-24T12:03:00.120+00:00','2026-11-24 12:03:00.080000','2026-11-24 12:03:00.080000',1);
INSERT INTO "threads" VALUES(1,'pull:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d|robot$team+node','pull:team/app@sha256:9597d898814f165b7ed6118722c24271fec8c1254d46e437ad6ab24050763e2d|robot$team+node#audit_log_ext:11:2026-11-24T12:08:00.040+00:00','2026-11-24 12:08:00.040000','2026-11-24 12:08:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65','push:team/app@sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65#audit_log_ext:12:2026-11-24T12:20:00.040+00:00','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65|ann','push:team/app@sha256:cabb866ab5c902410cac8f414d84700d943bfb0ee900c8f72fe150cc7e70ad65#audit_log_ext:12:2026-11-24T12:20:00.040+00:00','2026-11-24 12:20:00.040000','2026-11-24 12:20:00.040000',1);
INSERT INTO "threads" VALUES(1,'run:deletions|carol|team','run:deletions|carol|team#audit_log_ext:13:2026-11-24T12:22:00.040+00:00','2026-11-24 12:22:00.040000','2026-11-24 12:22:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3','push:team/app@sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3#audit_log_ext:14:2026-11-24T13:50:00.040+00:00','2026-11-24 13:50:00.040000','2026-11-24 13:50:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3|ann','push:team/app@sha256:5c4d07d51cc27f5f1eef4bd79e2e2db88beec0df0796ee134b31178538d0ccb3#audit_log_ext:14:2026-11-24T13:50:00.040+00:00','2026-11-24 13:50:00.040000','2026-11-24 13:50:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb','push:team/app@sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb#audit_log_ext:15:2026-11-24T13:51:00.040+00:00','2026-11-24 13:51:00.040000','2026-11-24 13:51:00.040000',1);
INSERT INTO "threads" VALUES(1,'push:team/app@sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb|bob','push:team/app@sha256:c5ef0ec65b935acdb265ab60683b0d4a136cca763bdaa8f1fc3f41abe4ccbacb#audit_log_ext:15:2026-11-24T13:51:00.040+00:00','2026-11-24 13:51:00.040000','2026-11-24 13:51:00.040000',1);
CREATE TABLE waves (
	harbor_id INTEGER NOT NULL, 
	"group" VARCHAR(900) NOT NULL, 
	began_at DATETIME NOT NULL, 
	grew_at DATETIME NOT NULL, 
	members INTEGER NOT NULL, 
	singles INTEGER NOT NULL, 
	asked_at DATETIME, 
	CONSTRAINT pk_waves PRIMARY KEY (harbor_id), 
	CONSTRAINT fk_waves_harbor_id FOREIGN KEY(harbor_id) REFERENCES harbors (id)
);
CREATE INDEX ix_attempts_chat_id_at ON attempts (chat_id, at);
CREATE INDEX ix_events_recent_rows ON events (harbor_id, source, source_id);
CREATE INDEX ix_events_occurred_at ON events (harbor_id, occurred_at);
CREATE INDEX ix_polls_log ON polls (harbor_id, log, covered_from);
CREATE INDEX ix_gaps_began_at ON gaps (harbor_id, began_at);
CREATE INDEX ix_scans_digest ON scans (harbor_id, digest, outcome);
CREATE INDEX ix_scans_look_at ON scans (harbor_id, outcome, look_at) WHERE repository IS NOT NULL;
CREATE INDEX ix_scans_list_digest ON scans (harbor_id, list_digest) WHERE list_digest IS NOT NULL;
CREATE INDEX ix_scans_unexplained ON scans (harbor_id, ended_at) WHERE repository IS NULL;
CREATE INDEX ix_known_platforms_index ON known_platforms (harbor_id, repository, index_digest);
CREATE INDEX ix_known_accessories_subject ON known_accessories (harbor_id, repository, subject);
CREATE INDEX ix_deliveries_follows ON deliveries (follows);
CREATE INDEX ix_deliveries_group ON deliveries (route, "group");
CREATE INDEX ix_deliveries_pending ON deliveries (route, id) WHERE state = 'pending';
CREATE INDEX ix_deliveries_finished ON deliveries (chat_id, finished_at);
COMMIT;
